//! Printing: lines and tables. What comes from elsewhere (a platform's words, a name) is printed
//! without control characters, so that it cannot move the cursor or recolour a terminal.

use std::io::{self, Write};

/// Where results go.
pub(super) struct Output(Box<dyn Write>);

impl Output {
    /// Standard output.
    pub(super) fn standard() -> Self {
        Self(Box::new(io::stdout()))
    }

    /// Prints one line.
    ///
    /// # Errors
    /// When nobody reads it.
    pub(super) fn line(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        writeln!(self.0, "{}", printable(text.as_ref()))
    }

    /// Prints a table with aligned columns; the last one may be of any width.
    ///
    /// # Errors
    /// When nobody reads it.
    pub(super) fn table<const N: usize>(
        &mut self,
        head: [&str; N],
        rows: &[[String; N]],
    ) -> io::Result<()> {
        let rows: Vec<[String; N]> = std::iter::once(head.map(str::to_owned))
            .chain(
                rows.iter()
                    .map(|row| row.each_ref().map(|cell| printable(cell))),
            )
            .collect();
        let mut widths = [0; N];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in &rows {
            let cells = row.iter().zip(widths);
            let line: Vec<String> = cells
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            self.line(line.join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// Prints what went wrong to standard error.
pub(super) fn complain(message: &str) {
    // When standard error is closed there is nobody left to tell; the exit code still says it.
    writeln!(io::stderr(), "switchboard: {}", printable(message)).ok();
}

/// The text on one line and without control characters.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// What a test's output wrote.
#[cfg(test)]
#[derive(Clone, Default)]
pub(super) struct Written(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

#[cfg(test)]
impl Written {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[cfg(test)]
impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
impl Output {
    /// An output that a test can read.
    pub(super) fn captured() -> (Self, Written) {
        let written = Written::default();
        (Self(Box::new(written.clone())), written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_and_harmless() {
        let (mut output, written) = Output::captured();
        let rows = [
            ["support-bot".to_owned(), "3".to_owned()],
            ["a".to_owned(), "\u{1b}[31mred\nend".to_owned()],
        ];
        output.table(["lane", "depth"], &rows).unwrap();
        assert_eq!(
            written.text(),
            "lane         depth\nsupport-bot  3\na             [31mred end\n"
        );
    }
}
