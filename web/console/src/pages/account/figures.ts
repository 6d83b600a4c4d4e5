import type { CSSProperties } from "react";
import { groupThousands } from "../../lib/money";

/** The width that the longest of some figures needs where they are large, as a style for account.module.css. */
export function figureWidth(figures: readonly string[]): CSSProperties {
  const letters = Math.max(...figures.map((figure) => groupThousands(figure).length));
  return { "--figure": `${Math.max(8.75, letters * 0.85)}rem` } as CSSProperties;
}
