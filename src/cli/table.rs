//! A table of texts as people read it on a terminal. Pure.

/// Lines with columns padded to their widest cell: the first to the left, those of `left` too, the others to the right.
pub(super) fn aligned(rows: &[Vec<String>], left: &[usize]) -> String {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let padding = " ".repeat(widths[column] - cell.chars().count());
            let gap = if column == 0 { "  " } else { "   " };
            let to_left = column == 0 || left.contains(&column);
            line.push_str(gap);
            line.push_str(&if to_left { format!("{cell}{padding}") } else { format!("{padding}{cell}") });
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
