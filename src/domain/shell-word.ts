const PLAIN = /^[\w./@:+-]+$/;

/** A name or a path as one word of a command that a person may paste; other programs give names, and a shell obeys signs. */
export function shellWord(text: string): string {
  return PLAIN.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
