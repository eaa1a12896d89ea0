//! What the page is put together of. Texts of somebody else become HTML here and nowhere else.

use std::fmt::Write as _;

/// A part of the page; nothing, where there is nothing in it.
pub(super) fn section(id: &str, title: &str, html: &str) -> String {
    if html.is_empty() {
        return String::new();
    }
    format!(
        "<section class=\"card\" aria-labelledby=\"{id}-heading\">\n<h2 id=\"{id}-heading\">{title}</h2>\n{html}</section>\n"
    )
}

pub(super) fn terms_of(terms: &[(&str, String)]) -> String {
    let terms = terms.iter().map(|(name, value)| format!("<div><dt>{name}</dt><dd>{}</dd></div>", escaped(value)));
    format!("<dl class=\"terms\">{}</dl>\n", terms.collect::<String>())
}

/// A table whose columns are `l`eft or `r`ight; nothing without rows. Cells are escaped here.
pub(super) fn rows_of(caption: &str, sides: &str, heads: &[&str], rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let class = |side| if side == 'r' { " class=\"number\"" } else { "" };
    let heads =
        heads.iter().zip(sides.chars()).map(|(head, side)| format!("<th scope=\"col\"{}>{head}</th>", class(side)));
    let mut html = format!(
        "<div class=\"rows\"><table><caption>{caption}</caption><thead><tr>{}</tr></thead><tbody>\n",
        heads.collect::<String>()
    );
    for row in rows {
        let cells = row.iter().zip(sides.chars()).map(|(cell, side)| {
            let class = match cell.as_str() {
                "MISSED" => " class=\"missed\"",
                "holds" => " class=\"holds\"",
                cell if side == 'r' && !is_figure(cell) => " class=\"number none\"",
                _ => class(side),
            };
            format!("<td{class}>{}</td>", escaped(cell))
        });
        let _ = writeln!(html, "<tr>{}</tr>", cells.collect::<String>());
    }
    html + "</tbody></table></div>\n"
}

pub(super) fn is_figure(text: &str) -> bool {
    text != "not driven"
}

/// A text within HTML, or within a value in quotes there.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            character => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_escaped_and_say_what_they_are() {
        let row = ["<b>", "1.00 ms", "not driven", "MISSED"].map(str::to_owned);
        let html = rows_of("c", "lrrl", &["", "", "", ""], vec![row.into()]);
        let cells = "<tr><td>&lt;b&gt;</td><td class=\"number\">1.00 ms</td><td class=\"number none\">not driven</td>\
                     <td class=\"missed\">MISSED</td></tr>";
        assert!(html.contains(cells), "{html}");
        assert_eq!(rows_of("c", "l", &[""], Vec::new()), "");
        assert_eq!(section("id", "t", ""), "");
    }
}
