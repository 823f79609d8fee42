//! What the examples share: the command line, errors that name a line, a table for people.

#![allow(dead_code, reason = "each example uses what it needs")]

pub(crate) mod windowed;

use std::fmt;
use std::io::Read;
use std::process::ExitCode;

/// What an example is, for `--help`, and what it runs on if it is given nothing.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// The form of a line.
    pub(crate) lines: &'static str,
    pub(crate) sample: &'static str,
}

/// A line that the example can't read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadLine {
    /// Counts from 1.
    pub(crate) number: usize,
    pub(crate) what: String,
    pub(crate) remedy: &'static str,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}; {}", self.number, self.what, self.remedy)
    }
}

/// A line with its number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    pub(crate) number: usize,
    pub(crate) text: &'a str,
}

impl<'a> Line<'a> {
    /// Its words, if there are as many as `N`.
    pub(crate) fn words<const N: usize>(self, form: &'static str) -> Result<[&'a str; N], BadLine> {
        let words: Vec<&str> = self.text.split_whitespace().collect();
        let count = words.len();
        words.try_into().map_err(|_| self.bad(format!("{count} words instead of {N}"), form))
    }

    /// A word as a number or whatever else `T` is.
    pub(crate) fn parsed<T: std::str::FromStr>(
        self,
        word: &str,
        remedy: &'static str,
    ) -> Result<T, BadLine> {
        word.parse().map_err(|_| self.bad(format!("`{word}` can't be read"), remedy))
    }

    pub(crate) fn bad(self, what: impl Into<String>, remedy: &'static str) -> BadLine {
        BadLine { number: self.number, what: what.into(), remedy }
    }
}

/// The lines that aren't empty and don't begin with `#`.
pub(crate) fn lines(input: &str) -> impl Iterator<Item = Line<'_>> {
    let numbered = input.lines().zip(1..).map(|(text, number)| Line { number, text: text.trim() });
    numbered.filter(|line| !line.text.is_empty() && !line.text.starts_with('#'))
}

/// Rows under a head, in columns.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) head: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<String>>,
    /// What else is worth saying, one line each.
    pub(crate) notes: Vec<String>,
}

impl Table {
    /// The rows, their cells with a space between.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.rows.iter().map(|row| row.join(" ")).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column)).map(String::as_str);
            cells.chain(self.head.get(column).copied()).map(|c| c.chars().count()).max()
        };
        let widths: Vec<usize> = (0..self.head.len()).filter_map(width).collect();
        let mut line = |cells: &mut dyn Iterator<Item = &str>| {
            let padded = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            writeln!(f, "{}", padded.collect::<Vec<_>>().join("  ").trim_end())
        };
        line(&mut self.head.iter().copied())?;
        line(
            &mut widths
                .iter()
                .map(|width| "-".repeat(*width))
                .collect::<Vec<_>>()
                .iter()
                .map(String::as_str),
        )?;
        for row in &self.rows {
            line(&mut row.iter().map(String::as_str))?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "\n{note}"))
    }
}

/// Reads what the command line says, runs the example on it and prints its table. Ends with 2 on what the caller can
/// mend: an option, a file, a line.
pub(crate) fn main(
    about: &About,
    topology: impl fmt::Display,
    run: impl Fn(&str) -> Result<Table, BadLine>,
) -> ExitCode {
    let complain = |message: &dyn fmt::Display| {
        eprintln!("{}: {message}", about.name);
        ExitCode::from(2)
    };
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let input = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => about.sample.to_owned(),
        ["-h" | "--help"] => {
            print!("{}", help(about));
            return ExitCode::SUCCESS;
        }
        ["--topology"] => {
            print!("{topology}");
            return ExitCode::SUCCESS;
        }
        ["-"] => {
            let mut input = String::new();
            match std::io::stdin().read_to_string(&mut input) {
                Ok(_) => input,
                Err(error) => return complain(&format_args!("standard input: {error}")),
            }
        }
        [file] if !file.starts_with('-') => match std::fs::read_to_string(file) {
            Ok(input) => input,
            Err(error) => return complain(&format_args!("{file}: {error}; give a file of lines")),
        },
        _ => return complain(&"unknown arguments; try --help"),
    };
    match run(&input) {
        Ok(table) => {
            print!("{table}");
            ExitCode::SUCCESS
        }
        Err(error) => complain(&error),
    }
}

pub(crate) fn help(about: &About) -> String {
    let About { name, what, lines, sample } = about;
    format!(
        "{what}\n\n\
         cargo run -p operators --example {name} -- [FILE | - | --topology | --help]\n\n\
         FILE        lines of the form below; without it, the sample\n\
         -           lines from standard input\n\
         --topology  prints the flow instead of running it\n\n\
         Lines; empty ones and those that begin with # are skipped:\n{lines}\n\nThe sample:\n{sample}"
    )
}
