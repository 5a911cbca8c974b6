/** Formats a coordinate. One decimal is enough for a picture. */
export const at = (value: number): string => value.toFixed(1);

export function text(x: number, y: number, content: string, attributes = ''): string {
  const safe = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${at(x)}" y="${at(y)}" ${attributes}>${safe}</text>`.replace(' >', '>');
}

export function svg(width: number, height: number, title: string, parts: readonly string[]): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="11">
<rect width="100%" height="100%" fill="#fff"/>
${text(10, 24, title, 'font-size="15" font-weight="bold"')}
${parts.join('\n')}
</svg>
`;
}
