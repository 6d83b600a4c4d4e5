// The names of accounts, for wherever an account is known by its id alone. They are read many at a time, and kept.
import type { Profile } from "internaltransfers-client";
import { describeError } from "./errors";
import { clients } from "./rpc";
import { session } from "./session";

/** The names that are kept. */
const profilesMax = 5_000;
/** The most names that one call answers. */
const pageMax = 1_000;
/** How old a name may be, in milliseconds: older ones are read again when they are shown again. */
const maxAge = 60_000;
/** How long to collect ids before they are asked for, in milliseconds. */
const collectFor = 20;

interface Known {
  profile: Profile | undefined;
  read: number;
}

const known = new Map<string, Known>(); // in the order in which they were read
const wanted = new Map<string, number>(); // how many show each, of those to be asked for
const listeners = new Set<() => void>();
let timer: ReturnType<typeof setTimeout> | undefined;
let generation = 0;

session.onForget(() => {
  generation++;
  known.clear();
});

/** Listens for names that come. */
export function subscribeToProfiles(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** What is known of an account; undefined: nothing yet, or there is no such account. */
export function profileOf(accountId: string): Profile | undefined {
  return known.get(accountId)?.profile;
}

/** Asks for an account's name; call the answer when it is not shown any more. */
export function wantProfile(accountId: string): () => void {
  const at = known.get(accountId)?.read ?? 0;
  if (accountId === "" || Date.now() - at < maxAge) return () => undefined;
  wanted.set(accountId, (wanted.get(accountId) ?? 0) + 1);
  if (timer === undefined) timer = setTimeout(read, collectFor);
  return () => {
    const left = (wanted.get(accountId) ?? 0) - 1;
    if (left > 0) wanted.set(accountId, left);
    else wanted.delete(accountId);
  };
}

/** Reads profiles, in parts where they are too large for one answer. */
async function load(accountIds: string[]): Promise<Profile[]> {
  try {
    return (await clients.accounts.getProfiles({ accountIds })).profiles;
  } catch (error) {
    if (accountIds.length === 1 || describeError(error).reason !== "ANSWER_TOO_LARGE") throw error;
    const half = accountIds.length >> 1;
    return [...(await load(accountIds.slice(0, half))), ...(await load(accountIds.slice(half)))];
  }
}

async function read(): Promise<void> {
  timer = undefined;
  const accountIds = [...wanted.keys()].slice(0, pageMax);
  if (accountIds.length === 0) return;
  for (const id of accountIds) wanted.delete(id);
  if (wanted.size > 0) timer = setTimeout(read, collectFor);
  const begun = generation;
  try {
    const profiles = await load(accountIds);
    if (begun !== generation) return;
    const found = new Map(profiles.map((profile) => [profile.accountId, profile]));
    const now = Date.now();
    for (const id of accountIds) {
      known.delete(id);
      known.set(id, { profile: found.get(id), read: now });
    }
    for (const id of known.keys()) {
      if (known.size <= profilesMax) break;
      known.delete(id);
    }
    for (const listener of listeners) listener();
  } catch {
    // Ids are shown in the place of names; whoever shows them next asks again.
  }
}
