//! A comparison as Markdown, for a comment on a pull request.

use redtape_core::Count;

use super::compare::Changes;
use super::text::{kinds, tables, within};

/// Bytes of a comment. GitHub takes 65,536 characters.
const COMMENT_MAX: usize = 60_000;
/// Characters of a cell.
const CELL_MAX: usize = 300;
/// Rows of a table that is open; longer ones are opened by a click.
const OPEN_MAX: usize = 10;
/// By what a later comment finds the one to replace.
const MARK: &str = "<!-- redtape diff -->";

/// The comment: of each table at most `limit` rows, and of all no more than fits.
pub(super) fn comment(changes: &Changes, limit: usize) -> String {
    let differences = changes.differences as u64;
    let said = match differences {
        0 => "no difference".to_owned(),
        _ => Count(differences, "difference").to_string(),
    };
    let mut text = format!(
        "{MARK}\n### redtape diff: {said}{}\n\n{} → {}\n",
        within(changes),
        code(&changes.before),
        code(&changes.after)
    );
    if differences > 0 {
        text.push_str(&format!("\n{}\n", kinds(changes)));
    }
    for (title, header, texts, rows) in tables(changes) {
        if rows.is_empty() {
            continue;
        }
        let (all, shown) = (rows.len(), rows.len().min(limit));
        let open = if shown <= OPEN_MAX { " open" } else { "" };
        let mut table = format!("\n<details{open}><summary>{title}</summary>\n\n");
        let align = (0..header.len()).map(|column| if column < texts { " --- |" } else { " ---: |" });
        table.push_str(&format!("| {} |\n|{}\n", header.join(" | "), align.collect::<String>()));
        for row in rows.into_iter().take(limit) {
            // What is no text of a tape's has been made of numbers.
            let cells = row.into_iter().enumerate();
            let cells = cells.map(|(column, cell)| if column < texts { code(&cell) } else { cell });
            table.push_str(&format!("| {} |\n", cells.collect::<Vec<_>>().join(" | ")));
        }
        if all > shown {
            table.push_str(&format!("\nThe first {shown} of {all}.\n"));
        }
        table.push_str("\n</details>\n");
        if text.len() + table.len() > COMMENT_MAX {
            text.push_str(&format!("\n{}: too long to be shown here.\n", title));
        } else {
            text.push_str(&table);
        }
    }
    text
}

/// Text that stays what it is in a cell of a table: in a code span nothing is markup, and nobody is mentioned.
fn code(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let mut shown: String =
        text.chars().take(CELL_MAX).map(|one| if one.is_control() { '\u{fffd}' } else { one }).collect();
    if text.chars().count() > CELL_MAX {
        shown.push('…');
    }
    // A table looks for its bars before anything looks for code.
    let shown = shown.replace('|', "\\|");
    let mut longest = 0;
    let mut run = 0;
    for one in shown.chars() {
        run = if one == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat(longest + 1);
    let pad = if shown.starts_with('`') || shown.ends_with('`') { " " } else { "" };
    format!("{fence}{pad}{shown}{pad}{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tape_says_is_no_markup() {
        for (text, shown) in [
            ("/a", "`/a`"),
            ("a|b", "`a\\|b`"),
            ("`x``", "``` `x`` ```"),
            ("</details>@team\n# x", "`</details>@team\u{fffd}# x`"),
            ("", ""),
        ] {
            assert_eq!(code(text), shown);
        }
        assert_eq!(code(&"x".repeat(400)).chars().count(), 303);
    }
}
