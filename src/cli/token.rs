//! `switchboard token`: a new API token.

use super::Outcome;
use super::output::Output;
use crate::config::{TokenHash, new_token};

pub(super) fn run(output: &mut Output) -> anyhow::Result<Outcome> {
    let token = new_token();
    let hash = TokenHash::of(&token).to_config();
    output.line(format!("token: {token}"))?;
    output.line(format!("hash:  {hash}"))?;
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_is_new_and_has_its_hash() {
        let (mut output, written) = Output::captured();
        run(&mut output).unwrap();
        run(&mut output).unwrap();
        let text = written.text();
        let lines: Vec<_> = text.lines().map(|l| l.split_once(':').unwrap()).collect();
        let [(_, first), (_, hash), (_, second), _] = lines[..] else {
            panic!("{text}");
        };
        assert_ne!(first, second);
        assert_eq!(first.trim().len(), 64);
        assert_eq!(TokenHash::of(first.trim()).to_config(), hash.trim());
    }
}
