import { type ReactNode, useEffect, useId, useRef, useState } from "react";
import styles from "./denied.module.css";

/** The most that a reason is wide, in pixels, with its distance to the window's edge. */
const room = 290;

/**
 * Says why a control is disabled, while the pointer is on it or it has the focus. The control must take the focus all
 * the same, so it is disabled by aria-disabled alone.
 */
export function Denied({
  reason,
  children,
}: {
  reason: string;
  children: (control: { "aria-disabled": true; "aria-describedby": string }) => ReactNode;
}) {
  const id = useId();
  const ref = useRef<HTMLSpanElement>(null);
  const [place, setPlace] = useState<{ left: number; top?: number; bottom?: number }>();
  const hide = () => setPlace(undefined);
  const show = () => {
    const box = ref.current?.getBoundingClientRect();
    if (!box) return;
    const left = Math.max(8, Math.min(box.left, innerWidth - room));
    if (box.bottom + 60 > innerHeight) setPlace({ left, bottom: innerHeight - box.top + 6 });
    else setPlace({ left, top: box.bottom + 6 });
  };
  const shown = place !== undefined;
  useEffect(() => {
    if (!shown) return;
    const gone = () => setPlace(undefined);
    const onKey = (event: KeyboardEvent) => event.key === "Escape" && gone();
    addEventListener("scroll", gone, true);
    addEventListener("keydown", onKey);
    return () => {
      removeEventListener("scroll", gone, true);
      removeEventListener("keydown", onKey);
    };
  }, [shown]);
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: what is in it is the control
    <span
      ref={ref}
      className={styles.denied}
      onPointerEnter={show}
      onPointerLeave={hide}
      onFocus={show}
      onBlur={hide}
    >
      {children({ "aria-disabled": true, "aria-describedby": id })}
      <span id={id} role="tooltip" className={styles.reason} hidden={!shown} style={place}>
        {reason}
      </span>
    </span>
  );
}
