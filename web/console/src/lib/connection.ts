// Whether the server answers. Calls report to it; while the server is away it asks /healthcheck until it is back.
import { serverPath } from "./base";

type Listener = () => void;

const retryMs = 1_000;

class Connection {
  #online = true;
  #listeners = new Set<Listener>();
  #returns = new Set<Listener>();
  #timer: number | undefined;

  /** Whether the last call was answered. */
  get online(): boolean {
    return this.#online;
  }

  subscribe = (listener: Listener): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Calls f each time that the server answers again after it did not. */
  onReturn(f: Listener): () => void {
    this.#returns.add(f);
    return () => this.#returns.delete(f);
  }

  /** The server answered. */
  answered(): void {
    if (this.#online) return;
    this.#set(true);
    for (const f of this.#returns) f();
  }

  /** The server did not answer. */
  lost(): void {
    if (!this.#online) return;
    this.#set(false);
    this.#probe();
  }

  #set(online: boolean): void {
    this.#online = online;
    for (const listener of this.#listeners) listener();
  }

  #probe(): void {
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(async () => {
      try {
        const response = await fetch(serverPath("/healthcheck"), { cache: "no-store" });
        if (response.ok) this.answered();
      } catch {
        // Still away.
      }
      if (!this.#online) this.#probe();
    }, retryMs);
  }
}

export const connection = new Connection();
