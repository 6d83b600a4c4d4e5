import { useSyncExternalStore } from "react";
import { connection } from "../lib/connection";
import styles from "./connection-status.module.css";

/** Says whether the server answers, and that the page is waiting for it when it does not. */
export function ConnectionStatus() {
  const online = useOnline();
  return (
    <span className={styles.status} data-online={online} role="status">
      <span className={styles.dot} aria-hidden="true" />
      {online ? "Connected" : "Reconnecting…"}
    </span>
  );
}

/** Whether the server answered the last call. */
export function useOnline(): boolean {
  return useSyncExternalStore(connection.subscribe, () => connection.online);
}
