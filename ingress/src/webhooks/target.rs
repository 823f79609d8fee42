//! Which URLs a webhook may have: nothing inside our own network (SSRF). The
//! rules are the read model's [`TargetPolicy`], shared with the dispatcher, which
//! asks again when it connects, because names change.

use std::time::Duration;

use read_model::webhook_target::{TargetPolicy, TargetRefused, is_special};
use url::{Host, Url};

/// Why a URL is refused: a code and a sentence.
pub type Refused = (&'static str, String);

const LONGEST: usize = 2_048;

/// Checks a URL's form and, as far as its name resolves now, where it leads.
///
/// # Errors
/// What is wrong with it.
pub async fn check(text: &str, policy: &TargetPolicy) -> Result<Url, Refused> {
    let url = policy.check(text).map_err(|refused| {
        let code = if refused == TargetRefused::Private { "private_target" } else { "invalid" };
        (code, refused.to_string())
    })?;
    let port = url.port_or_known_default().unwrap_or(0);
    if url.fragment().is_some() || port == 0 || text.len() > LONGEST {
        return Err((
            "invalid",
            format!(
                "expected an http or https URL of at most {LONGEST} characters without a fragment"
            ),
        ));
    }
    if let Some(Host::Domain(name)) = url.host()
        && !policy.allows(&url)
        && leads_inside(name, port).await
    {
        return Err(("private_target", TargetRefused::Private.to_string()));
    }
    Ok(url)
}

/// A name that doesn't resolve now may do so later.
async fn leads_inside(name: &str, port: u16) -> bool {
    let looked_up =
        tokio::time::timeout(Duration::from_secs(2), tokio::net::lookup_host((name, port))).await;
    let Ok(Ok(mut addresses)) = looked_up else { return false };
    addresses.any(|address| is_special(address.ip().to_canonical()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn our_own_network_and_malformed_urls_are_refused() {
        let policy = TargetPolicy::parse("127.0.0.1:9099").unwrap();
        for (url, code) in [
            ("http://127.0.0.1:9098/", "private_target"),
            ("http://169.254.169.254/latest/meta-data", "private_target"),
            ("http://[::ffff:10.0.0.1]/", "private_target"),
            ("http://localhost:9099/", "private_target"),
            ("example.com", "invalid"),
            ("ftp://example.com/", "invalid"),
            ("https://user:pw@example.com/", "invalid"),
            ("https://93.184.216.34/#x", "invalid"),
            ("https://93.184.216.34:0/", "invalid"),
        ] {
            assert_eq!(check(url, &policy).await.unwrap_err().0, code, "{url}");
        }
        assert!(check("http://127.0.0.1:9099/hook", &policy).await.is_ok());
        assert!(check("https://93.184.216.34/", &policy).await.is_ok());
    }
}
