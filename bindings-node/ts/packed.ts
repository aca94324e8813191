/** Texts that cross to and from the native part as one: each after its length and a colon. */

/** Names and values in turn, in one text; undefined for none. */
export function packed(flat: readonly string[] | undefined): string | undefined {
  if (flat === undefined) {
    return undefined
  }
  let text = ''
  for (const each of flat) {
    text += `${each.length}:${each}`
  }
  return text
}

/** The texts of a packed one. */
export function unpacked(text: string): string[] {
  const flat: string[] = []
  for (let from = 0; from < text.length; ) {
    const colon = text.indexOf(':', from)
    const end = colon + 1 + Number(text.slice(from, colon))
    flat.push(text.slice(colon + 1, end))
    from = end
  }
  return flat
}
