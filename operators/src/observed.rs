//! Values for an application's own metrics: `ctx.observe(…)` in a processor or a state machine.
//!
//! Invariant: a value is told once, and only if what led to it is committed: it goes the way of the record that it is
//! about, cut back with it, aborted with it, done anew with it.

/// One value of a histogram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Observation {
    /// The histogram's name; one that ends with its unit, as `_seconds`.
    pub metric: &'static str,
    /// Name and value of its label, where it has one. Names of the program's own, never what a record holds: each makes
    /// a time series for ever.
    pub label: Option<(&'static str, &'static str)>,
    /// In the unit of the name.
    pub value: f64,
}

#[cfg(test)]
mod tests {
    use crate::testing::numbers;
    use crate::{
        BoxError, ErrorPolicy, FixedKeyContext, FixedKeyProcessor, FixedKeyRecord, I64Be, Input,
        StreamsBuilder, TopologyTestDriver,
    };

    struct Sizes;

    impl FixedKeyProcessor<str, i64, i64> for Sizes {
        fn process(
            &mut self,
            record: FixedKeyRecord<'_, str, i64>,
            ctx: &mut FixedKeyContext<'_, '_, str, i64>,
        ) -> Result<(), BoxError> {
            ctx.observe("size", Some(("by", "processor")), *record.value().unwrap_or(&0) as f64);
            ctx.forward(record);
            Ok(())
        }
    }

    #[test]
    fn what_a_record_observed_goes_with_it_when_it_fails() {
        let builder = StreamsBuilder::new("test");
        builder
            .stream(&numbers("in"))
            .process_values("sizes", &[], |_| Box::new(Sizes))
            .with_value_serde(I64Be)
            .state_machine("machine", I64Be, |_, _, input, ctx| {
                let Input::Message(n) = input else { return };
                ctx.observe("size", None, *n as f64);
                ctx.emit(*n);
                if *n == 2 {
                    ctx.fail("two");
                }
            })
            .on_error(ErrorPolicy::Skip)
            .with_value_serde(I64Be)
            .try_map_values(|n: &i64| if *n == 3 { Err("three") } else { Ok(*n) })
            .on_error(ErrorPolicy::DeadLetter)
            .with_value_serde(I64Be)
            .to(&numbers("out"));
        let driver = TopologyTestDriver::new(&builder.build().unwrap());
        for n in 1..=4 {
            driver.input(&numbers("in")).pipe("k", &n);
        }
        let observed = driver.observed();
        let label = Some(("by", "processor"));
        let values: Vec<_> = observed.iter().map(|seen| (seen.label, seen.value)).collect();
        assert_eq!(values, [(label, 1.0), (None, 1.0), (label, 4.0), (None, 4.0)]);
        assert!(observed.iter().all(|seen| seen.metric == "size"));
    }
}
