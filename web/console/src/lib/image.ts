/** What is wrong with the address of a picture, in words, or undefined. None is fine. */
export function imageProblem(text: string): string | undefined {
  const url = text.trim();
  if (url === "") return undefined;
  if (!/^https?:\/\//i.test(url)) return "The address begins with https:// or http://.";
  if (!URL.canParse(url)) return "This is no address of a picture.";
  if (new TextEncoder().encode(url).length > 2048) return "The address has at most 2,048 bytes.";
  return undefined;
}
