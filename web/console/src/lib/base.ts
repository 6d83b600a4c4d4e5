// Where the server is, as the browser sees it. A proxy may show it under a path, which the server need not
// know: its pages name this script relative to themselves.
const script = import.meta.url;

/** The path under which everything is; empty: there is none. It does not end in a slash. */
export const basePath = import.meta.env.DEV ? "" : new URL("..", script).pathname.replace(/\/$/, "");

/** The server's address, such as https://example.com/ledger. */
export const serverAddress = `${globalThis.location?.origin ?? ""}${basePath}`;

/** What the browser calls a path of the server's that is not one of the console's pages, such as /docs. */
export function serverPath(path: `/${string}`): string {
  return basePath + path;
}
