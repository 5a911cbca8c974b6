/** A page without its code, because a bracket in code is not a link, and a # in code is not a heading. */
function prose(page: string): string {
  return page.replace(/^```.*?^```$/gms, '').replace(/`[^`\n]*`/g, (code) => code.replace(/[[\](){}<>]/g, ''));
}

/** The targets of the links, pictures and link definitions of a page. */
export function linksOf(page: string): string[] {
  const text = prose(page);
  const inline = text.matchAll(/\]\(\s*<?([^)\s>]+)>?[^)]*\)/g);
  const definitions = text.matchAll(/^ {0,3}\[[^\]]+\]:\s*<?([^\s>]+)/gm);
  const html = text.matchAll(/<(?:a|img)\b[^>]*?\b(?:href|src)="([^"]*)"/g);
  return [...inline, ...definitions, ...html].map(([, link = '']) => link);
}

/** The anchors that GitHub and npm give to the headings of a page. Repeated anchors are numbered. */
export function anchorsOf(page: string): string[] {
  const seen = new Map<string, number>();
  return Array.from(prose(page).matchAll(/^#{1,6} +(.+?) *#*$/gm), ([, heading = '']) => {
    const name = heading
      .replace(/!?\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\p{M}_ -]/gu, '')
      .replaceAll(' ', '-');
    const count = seen.get(name) ?? 0;
    seen.set(name, count + 1);
    return count === 0 ? name : `${name}-${count}`;
  });
}
