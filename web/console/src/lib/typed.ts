import { useEffect, useRef, useState } from "react";

/** How long nobody may type before what was typed counts, in milliseconds. */
const typingPause = 300;

/**
 * The text of a field whose value lives elsewhere, such as in the address, and is changed a little after the last
 * letter. When the value changes there, by the back button say, the field shows it.
 */
export function useTyped(value: string, commit: (text: string) => void): [string, (text: string) => void] {
  const [typed, setTyped] = useState({ text: value, of: value });
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  if (typed.of !== value) setTyped({ text: value, of: value });
  useEffect(() => () => clearTimeout(timer.current), []);
  const type = (text: string) => {
    setTyped({ text, of: value });
    clearTimeout(timer.current);
    timer.current = setTimeout(() => commit(text.trim()), typingPause);
  };
  return [typed.text, type];
}
