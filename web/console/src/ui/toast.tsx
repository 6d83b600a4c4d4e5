import { type ReactNode, useSyncExternalStore } from "react";
import { Icon } from "./icons";
import styles from "./toast.module.css";

interface Message {
  id: number;
  text: ReactNode;
  tone: "good" | "bad";
}

let messages: readonly Message[] = [];
let nextId = 1;
const listeners = new Set<() => void>();

function set(next: readonly Message[]): void {
  messages = next;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Says in a corner of the page that something was done. What failed is told where it was tried: see ErrorNotice. */
export function toast(text: ReactNode, tone: Message["tone"] = "good"): void {
  const id = nextId++;
  // At most three at a time: more nobody reads.
  set([...messages.slice(-2), { id, text, tone }]);
  setTimeout(() => set(messages.filter((message) => message.id !== id)), 6_000);
}

/** Where toasts appear. Once, in the layout. */
export function Toasts() {
  const shown = useSyncExternalStore(subscribe, () => messages);
  return (
    <div className={styles.region} role="status" aria-live="polite">
      {shown.map((message) => (
        <div key={message.id} className={styles.toast} data-tone={message.tone}>
          <Icon name={message.tone === "good" ? "check" : "alert"} />
          <span>{message.text}</span>
          <button
            type="button"
            aria-label="Dismiss"
            onClick={() => set(messages.filter((other) => other.id !== message.id))}
          >
            <Icon name="cross" size={14} />
          </button>
        </div>
      ))}
    </div>
  );
}
