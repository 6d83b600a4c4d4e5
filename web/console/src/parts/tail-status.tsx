import { useEffect, useState } from "react";
import { describeError } from "../lib/errors";
import type { StreamState } from "../lib/stream";
import styles from "./tail-status.module.css";

/** How long a stream may be away before it is said, in milliseconds: most come back at once. */
const patience = 1_000;

/** Whether the page shows what happens as it happens. */
export function TailStatus({ state, paused = false }: { state: StreamState | undefined; paused?: boolean }) {
  const phase = useCalm(state?.phase);
  const [tone, text] = words(phase, state, paused);
  return (
    <span className={styles.status} data-tone={tone} role="status">
      <span className={styles.dot} aria-hidden="true" />
      {text}
    </span>
  );
}

function words(
  phase: StreamState["phase"] | undefined,
  state: StreamState | undefined,
  paused: boolean,
): [string, string] {
  if (phase === undefined) return ["off", "Not live: this is a time that is over"];
  if (paused) return ["off", "Paused"];
  switch (phase) {
    case "live":
      return ["live", "Live"];
    case "connecting":
      return ["off", "Connecting…"];
    case "paused":
      return ["off", "Paused while the page is hidden"];
    case "reconnecting":
      return ["away", "Reconnecting…"];
    case "stopped":
      return [
        "away",
        state?.phase === "stopped" ? `Not live: ${describeError(state.error).title}` : "Not live",
      ];
  }
}

/** The phase, but of a short interruption only after a while. */
function useCalm(phase: StreamState["phase"] | undefined): StreamState["phase"] | undefined {
  const short = phase === "reconnecting" || phase === "connecting";
  const [shown, setShown] = useState(phase);
  useEffect(() => {
    const timer = setTimeout(() => setShown(phase), short ? patience : 0);
    return () => clearTimeout(timer);
  }, [phase, short]);
  return shown;
}
