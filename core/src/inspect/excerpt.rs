//! The line that a fault stands in, without secrets. Tests are in `tests/excerpt.rs`.
//!
//! What a value may be follows from the name beside it: it is shown when the name is that of a setting which is no
//! secret. All other values are masked, also those of names that nobody knows, because a misspelt password is one.
//! The text may be no YAML at all, so everything here goes by lines and letters.

use crate::error::Place;

/// What stands for a value that is not shown.
const MASK: &str = "***";
/// A longer line is cut.
const LONGEST: usize = 500;

/// A line of a file with the place of a fault in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The line, with `***` for values that may be secret.
    pub line: String,
    /// Where the fault begins, in characters from 0.
    pub start: usize,
    /// How many characters it has, at least 1 where the line is not at its end.
    pub length: usize,
}

/// The line of a place. `is_open` says whether the values of settings of a name may be shown.
pub(super) fn of(text: &str, place: &Place, is_open: &dyn Fn(&str) -> bool) -> Option<Excerpt> {
    let lines: Vec<&str> = text.split('\n').map(|line| line.trim_end_matches('\r')).collect();
    let index = place.line.checked_sub(1)?;
    let line = lines.get(index)?.trim_start_matches('\u{feff}');
    let hidden = hidden_parts(&lines, index, line, is_open);
    let (line, start) = mask(line, &hidden, place.column.saturating_sub(1));
    let length = token_length(&line, start);
    let line: String = line.chars().take(LONGEST).collect();
    let start = start.min(line.chars().count());
    Some(Excerpt { line, start, length })
}

/// Which characters of a line are not shown, in ascending order.
fn hidden_parts(
    lines: &[&str],
    index: usize,
    line: &str,
    is_open: &dyn Fn(&str) -> bool,
) -> Vec<(usize, usize)> {
    let letters: Vec<char> = line.chars().collect();
    if continues_a_value(lines, index, is_open) {
        let first = letters.iter().take_while(|letter| letter.is_whitespace()).count();
        return vec![(first, letters.len())];
    }
    let pairs = pairs_of(&letters);
    let mut hidden = Vec::new();
    for (position, pair) in pairs.iter().enumerate() {
        let is_hidden = if pair.key.eq_ignore_ascii_case("value") {
            let name = name_beside(&pairs, position).or_else(|| name_around(lines, index));
            !name.is_some_and(|name| is_open(&name))
        } else {
            !is_field(&pair.key) && !is_open(&pair.key)
        };
        if is_hidden && pair.begin < pair.end {
            hidden.push((pair.begin, pair.end));
        }
    }
    hidden
}

/// The fields of documents that hold no secrets; what they hold in their turn is looked at by itself.
fn is_field(key: &str) -> bool {
    const FIELDS: [&str; 42] = [
        "apiVersion",
        "kind",
        "metadata",
        "name",
        "namespace",
        "labels",
        "annotations",
        "spec",
        "type",
        "version",
        "initTimeout",
        "ignoreErrors",
        "scopes",
        "auth",
        "secretStore",
        "secretKeyRef",
        "key",
        "envRef",
        "policies",
        "timeouts",
        "retries",
        "circuitBreakers",
        "policy",
        "duration",
        "maxInterval",
        "maxRetries",
        "matching",
        "httpStatusCodes",
        "gRPCStatusCodes",
        "repeatUnknown",
        "maxRequests",
        "interval",
        "timeout",
        "trip",
        "targets",
        "components",
        "apps",
        "actors",
        "inbound",
        "outbound",
        "retry",
        "circuitBreaker",
    ];
    FIELDS.iter().any(|field| field.eq_ignore_ascii_case(key))
}

/// `key: value` in a line; the ends count characters.
struct Pair {
    key: String,
    text: String,
    begin: usize,
    end: usize,
    /// Which braces it stands in, counted along the line.
    group: usize,
}

fn pairs_of(letters: &[char]) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = Vec::new();
    let (mut group, mut depth, mut at, mut begin_of_key) = (0, 0_usize, 0, 0);
    while at < letters.len() {
        match letters[at] {
            '{' | '[' => {
                depth += 1;
                group += 1;
                begin_of_key = at + 1;
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                group += 1;
                begin_of_key = at + 1;
            }
            ',' if depth > 0 => begin_of_key = at + 1,
            quote @ ('"' | '\'') if is_blank(&letters[begin_of_key..at]) => {
                at = end_of_quote(letters, at, quote);
            }
            ':' if letters.get(at + 1).is_none_or(|next| next.is_whitespace()) || depth > 0 => {
                let key: String = letters[begin_of_key..at].iter().collect();
                let key = unquoted(key.trim_start_matches([' ', '\t', '-', '#']));
                let begin =
                    at + 1 + letters[at + 1..].iter().take_while(|letter| letter.is_whitespace()).count();
                let end = end_of_value(letters, begin, depth > 0);
                let text = unquoted(&letters[begin..end].iter().collect::<String>());
                pairs.push(Pair { key, text, begin, end, group });
                if end > begin {
                    at = end - 1;
                }
                begin_of_key = end.max(at + 1);
            }
            _ => {}
        }
        at += 1;
    }
    pairs
}

fn is_blank(letters: &[char]) -> bool {
    letters.iter().all(|letter| letter.is_whitespace() || *letter == '-')
}

/// The position of the closing quote, or of the line's last letter.
fn end_of_quote(letters: &[char], begin: usize, quote: char) -> usize {
    let mut at = begin + 1;
    while at < letters.len() && letters[at] != quote {
        at += if quote == '"' && letters[at] == '\\' { 2 } else { 1 };
    }
    at.min(letters.len() - 1)
}

/// Where a scalar ends that begins here; at once where a list or a mapping begins.
fn end_of_value(letters: &[char], begin: usize, is_in_braces: bool) -> usize {
    match letters.get(begin) {
        None | Some('{' | '[' | '#') => begin,
        Some(quote @ ('"' | '\'')) => {
            let end = end_of_quote(letters, begin, *quote);
            // What follows a quote that should have ended may belong to the value too.
            let rest = &letters[end + 1..];
            let ends_well = rest
                .iter()
                .find(|letter| !letter.is_whitespace())
                .is_none_or(|next| *next == '#' || (is_in_braces && matches!(next, ',' | '}' | ']')));
            if ends_well { end + 1 } else { letters.len() }
        }
        Some(_) if is_in_braces => {
            begin + letters[begin..].iter().take_while(|letter| !matches!(letter, ',' | '}' | ']')).count()
        }
        Some(_) => letters.len(),
    }
}

fn unquoted(text: &str) -> String {
    text.trim().trim_matches(['"', '\'']).to_owned()
}

/// The `name` in the same braces.
fn name_beside(pairs: &[Pair], position: usize) -> Option<String> {
    let group = pairs[position].group;
    let name = pairs.iter().find(|pair| pair.group == group && pair.key.eq_ignore_ascii_case("name"));
    name.map(|pair| pair.text.clone())
}

/// The `name` of the item that a line belongs to.
fn name_around(lines: &[&str], index: usize) -> Option<String> {
    let begins = |line: &str| line.trim_start().starts_with('-');
    let first = (0..=index).rev().take(20).find(|at| begins(lines[*at]))?;
    let after = (index + 1..lines.len()).take(20).find(|at| begins(lines[*at])).unwrap_or(index + 20);
    (first..after.min(lines.len())).find_map(|at| name_in(lines[at]))
}

fn name_in(line: &str) -> Option<String> {
    let letters: Vec<char> = line.chars().collect();
    pairs_of(&letters).into_iter().find(|pair| pair.key.eq_ignore_ascii_case("name")).map(|pair| pair.text)
}

/// Whether the line is a further line of a value that is not shown: of a block, or of a quote.
fn continues_a_value(lines: &[&str], index: usize, is_open: &dyn Fn(&str) -> bool) -> bool {
    let indent = |line: &str| line.chars().take_while(|letter| letter.is_whitespace()).count();
    let own = indent(lines[index]);
    let letters: Vec<char> = lines[index].chars().collect();
    let is_item = lines[index].trim_start().starts_with("- ") && !pairs_of(&letters).is_empty();
    if is_item || lines[index].trim().is_empty() {
        return false;
    }
    for at in (0..index).rev() {
        let line = lines[at];
        if line.trim().is_empty() {
            continue;
        }
        let letters: Vec<char> = line.chars().collect();
        let pairs = pairs_of(&letters);
        let Some(pair) = pairs.last() else {
            // A further line itself, as far as one can tell.
            continue;
        };
        // The key stands behind the dash of its item.
        let column = line.chars().take_while(|letter| letter.is_whitespace() || *letter == '-').count();
        if own <= column || pair.begin >= pair.end {
            return false;
        }
        return if pair.key.eq_ignore_ascii_case("value") {
            !name_around(lines, at).is_some_and(|name| is_open(&name))
        } else {
            !is_field(&pair.key) && !is_open(&pair.key)
        };
    }
    false
}

/// The line with masks, and where a column is then.
fn mask(line: &str, hidden: &[(usize, usize)], column: usize) -> (String, usize) {
    let (mut masked, mut shifted) = (String::new(), None);
    let mut count = 0;
    for (at, letter) in line.chars().enumerate() {
        let part = hidden.iter().find(|(begin, end)| (*begin..*end).contains(&at));
        if at == column && part.is_none_or(|(begin, _)| *begin == at) {
            shifted = Some(count);
        }
        match part {
            Some((begin, _)) if *begin == at => {
                if column > at && part.is_some_and(|(_, end)| column < *end) {
                    shifted = Some(count);
                }
                masked.push_str(MASK);
                count += MASK.len();
            }
            Some(_) => {}
            None => {
                masked.push(letter);
                count += 1;
            }
        }
    }
    (masked, shifted.map_or(count, |shifted| shifted.min(count)))
}

/// How long what begins here is: a quote with its end, a plain scalar, or one character.
fn token_length(line: &str, start: usize) -> usize {
    let letters: Vec<char> = line.chars().collect();
    match letters.get(start) {
        None => 0,
        Some(quote @ ('"' | '\'')) => end_of_quote(&letters, start, *quote) + 1 - start,
        Some('{' | '[' | '-' | '#' | '&' | '|' | '>') => 1,
        Some(_) => {
            let rest = &letters[start..];
            let ends = |at: usize| match rest[at] {
                ':' => rest.get(at + 1).is_none_or(|next| next.is_whitespace()),
                ',' | '}' | ']' => true,
                '#' => at > 0 && rest[at - 1].is_whitespace(),
                _ => false,
            };
            let end = (0..rest.len()).find(|at| ends(*at)).unwrap_or(rest.len());
            let blanks = rest[..end].iter().rev().take_while(|letter| letter.is_whitespace()).count();
            (end - blanks).max(1)
        }
    }
}
