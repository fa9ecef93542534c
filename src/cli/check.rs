//! `switchboard check`: says whether everything that the configuration names can be used.

use super::Outcome;
use super::output::Output;
use crate::app;
use crate::config::Sources;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Asks no platform
    #[arg(long)]
    offline: bool,
}

pub(super) fn run(sources: &Sources, args: &Args, output: &mut Output) -> anyhow::Result<Outcome> {
    let config = super::start(sources)?;
    output.line(format!("ok    configuration: {}", config.file))?;
    let findings = super::block_on(app::check(config, args.offline))?;
    print(&findings, output)
}

fn print(findings: &[app::Finding], output: &mut Output) -> anyhow::Result<Outcome> {
    for finding in findings {
        let mark = if finding.ok { "ok   " } else { "FAIL " };
        output.line(format!("{mark} {}: {}", finding.subject, finding.detail))?;
    }
    Ok(if findings.iter().all(|f| f.ok) {
        Outcome::Done
    } else {
        Outcome::Failed
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_fails_the_check() {
        let finding = |ok, subject: &str, detail: &str| app::Finding {
            ok,
            subject: subject.to_owned(),
            detail: detail.to_owned(),
        };
        let mut findings = vec![finding(true, "store", "sqlite:a.db")];
        let (mut output, written) = Output::captured();
        assert_eq!(print(&findings, &mut output).unwrap(), Outcome::Done);
        findings.push(finding(false, "channel sms", "401: wrong\ntoken"));
        assert_eq!(print(&findings, &mut output).unwrap(), Outcome::Failed);
        assert_eq!(
            written.text(),
            "ok    store: sqlite:a.db\nok    store: sqlite:a.db\nFAIL  channel sms: 401: wrong token\n"
        );
    }
}
