import { type ReactNode, useEffect, useId, useRef } from "react";
import { Button } from "./button";
import styles from "./dialog.module.css";

/**
 * A window above the page, which takes the focus and gives it back. Escape and a click beside it close it. It is the
 * browser's own dialog: what is behind it cannot be reached.
 */
export function Dialog(props: {
  open: boolean;
  onClose: () => void;
  title: string;
  lead?: ReactNode;
  children: ReactNode;
}) {
  // Nothing is kept while it is closed: whoever opens it again begins anew.
  return props.open && <OpenDialog {...props} />;
}

function OpenDialog({
  onClose,
  title,
  lead,
  children,
}: {
  onClose: () => void;
  title: string;
  lead?: ReactNode;
  children: ReactNode;
}) {
  const id = useId();
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = ref.current;
    const opener = document.activeElement;
    dialog?.showModal();
    // Who opened a form wants to fill it in, not to close it.
    dialog?.querySelector<HTMLElement>("input:enabled, select:enabled, textarea:enabled")?.focus();
    return () => {
      dialog?.close();
      // React takes the dialog away before the browser gives the focus back.
      if (opener instanceof HTMLElement) opener.focus();
    };
  }, []);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: a click beside the window; the keyboard has Escape
    <dialog
      ref={ref}
      className={styles.popup}
      aria-labelledby={id}
      aria-describedby={lead ? `${id}-lead` : undefined}
      onCancel={(event) => {
        // The caller decides: it is closed when it is no longer shown.
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => event.target === event.currentTarget && onClose()}
    >
      <div className={styles.content}>
        <div className={styles.head}>
          <h2 id={id} className={styles.title}>
            {title}
          </h2>
          <Button kind="quiet" small icon="cross" aria-label="Close" onClick={onClose} />
        </div>
        {lead && (
          <div id={`${id}-lead`} className={styles.lead}>
            {lead}
          </div>
        )}
        {children}
      </div>
    </dialog>
  );
}
