import { useCallback, useMemo } from "react";
import { useSearchParams } from "wouter";

/** What a page keeps in the query of its address. */
export type UrlState = Record<string, string>;

/**
 * The state of a page that lives in its address, so that it can be shared and the back button works. A value that is
 * empty or as in the defaults is left out of the address.
 *
 * Returns the state and a function that changes some of it. Give `replace` while something is being typed, so that the
 * history does not fill with every letter.
 */
export function useUrlState<T extends UrlState>(
  defaults: T,
): [T, (patch: Partial<T>, options?: { replace?: boolean }) => void] {
  const [params, setParams] = useSearchParams();
  // Callers write their defaults where they call, as a new object each time.
  const key = JSON.stringify(defaults);
  const state = useMemo(() => {
    const all = { ...(JSON.parse(key) as T) };
    for (const name of Object.keys(all) as (keyof T & string)[]) {
      const value = params.get(name);
      if (value !== null) all[name] = value as T[typeof name];
    }
    return all;
  }, [params, key]);
  const change = useCallback(
    (patch: Partial<T>, options?: { replace?: boolean }) => {
      const base = JSON.parse(key) as T;
      setParams(
        (old) => {
          const next = new URLSearchParams(old);
          for (const [name, value] of Object.entries(patch)) {
            if (value === undefined || value === "" || value === base[name]) next.delete(name);
            else next.set(name, value as string);
          }
          return next;
        },
        { replace: options?.replace ?? false },
      );
    },
    [setParams, key],
  );
  return [state, change];
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Says whether the text is a UUID. */
export function isUUID(text: string): boolean {
  return uuid.test(text.trim());
}
