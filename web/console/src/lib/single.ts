import { useCallback, useRef } from "react";

/**
 * A function that does something, and nothing while that is still being done: for forms, because the second click of a double
 * click comes before anything can be drawn. Errors are left to who made the call.
 */
export function useSingle(act: () => Promise<unknown>): () => void {
  const busy = useRef(false);
  const latest = useRef(act);
  latest.current = act;
  return useCallback(() => {
    if (busy.current) return;
    busy.current = true;
    latest
      .current()
      .catch(() => {})
      .finally(() => {
        busy.current = false;
      });
  }, []);
}
