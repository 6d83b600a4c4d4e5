import { useState } from "react";
import { Button, type IconName } from "./ui";

type Theme = "system" | "light" | "dark";

const next: Record<Theme, Theme> = { system: "light", light: "dark", dark: "system" };
const icons: Record<Theme, IconName> = { system: "system", light: "sun", dark: "moon" };
const names: Record<Theme, string> = { system: "as the system", light: "light", dark: "dark" };

/** A button that goes through the themes. public/theme.js sets the remembered one before the first paint. */
export function ThemeToggle() {
  const [theme, setTheme] = useState<Theme>(
    () => (document.documentElement.dataset.theme as Theme | undefined) ?? "system",
  );
  const change = (to: Theme) => {
    setTheme(to);
    const root = document.documentElement;
    if (to === "system") delete root.dataset.theme;
    else root.dataset.theme = to;
    try {
      if (to === "system") localStorage.removeItem("theme");
      else localStorage.setItem("theme", to);
    } catch {
      // Storage is denied: the theme holds for as long as the page is open.
    }
  };
  const label = `Theme: ${names[theme]}. Change to ${names[next[theme]]}`;
  return (
    <Button
      kind="quiet"
      small
      icon={icons[theme]}
      aria-label={label}
      title={label}
      onClick={() => change(next[theme])}
    />
  );
}
