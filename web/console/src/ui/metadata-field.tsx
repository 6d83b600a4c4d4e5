import { useId } from "react";
import { Button } from "./button";
import { TextField } from "./field";
import styles from "./metadata-field.module.css";

/** A pair as it is being typed. Its number tells it from the others while its key is not unique yet. */
export interface Pair {
  number: number;
  key: string;
  value: string;
}

const pairsMax = 50;

/** The pairs of metadata, by key. */
export function pairsOf(metadata: Record<string, string>): Pair[] {
  return Object.entries(metadata)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value], number) => ({ number, key, value }));
}

/** The metadata of the pairs. A pair with neither key nor value counts for nothing. */
export function metadataOf(pairs: readonly Pair[]): Record<string, string> {
  return Object.fromEntries(
    pairs.filter(({ key, value }) => key || value).map(({ key, value }) => [key, value]),
  );
}

/** What is wrong with a pair, in words, or undefined. */
export function pairProblem(pair: Pair, pairs: readonly Pair[]): string | undefined {
  const { key, value } = pair;
  if (key === "" && value !== "") return "A value needs a key.";
  if (key !== "" && pairs.some((other) => other.number < pair.number && other.key === key)) {
    return "This key is above already.";
  }
  if (Array.from(key).length > 64) return "A key has at most 64 characters.";
  if (Array.from(value).length > 500) return "A value has at most 500 characters.";
  return undefined;
}

/** Whether the pairs can be sent. */
export function pairsAreSound(pairs: readonly Pair[]): boolean {
  return pairs.every((pair) => pairProblem(pair, pairs) === undefined);
}

/** The caller's own data: pairs of key and value, which can be added and taken away. */
export function MetadataField({
  pairs,
  onChange,
  error,
}: {
  pairs: readonly Pair[];
  onChange: (pairs: Pair[]) => void;
  /** What the server said. */
  error?: string | undefined;
}) {
  const id = useId();
  const change = (number: number, patch: Partial<Pair>) =>
    onChange(pairs.map((pair) => (pair.number === number ? { ...pair, ...patch } : pair)));
  const add = () => onChange([...pairs, { number: (pairs.at(-1)?.number ?? -1) + 1, key: "", value: "" }]);
  return (
    <fieldset className={styles.metadata} aria-describedby={error ? `${id}-error` : undefined}>
      <legend className={styles.legend}>
        Metadata <span className="muted">optional</span>
      </legend>
      {pairs.map((pair, i) => (
        <div key={pair.number} className={styles.pair}>
          <TextField
            label={`Key ${i + 1}`}
            hideLabel
            placeholder="Key"
            mono
            value={pair.key}
            error={pairProblem(pair, pairs)}
            onChange={(key) => change(pair.number, { key })}
          />
          <TextField
            label={`Value ${i + 1}`}
            hideLabel
            placeholder="Value"
            value={pair.value}
            onChange={(value) => change(pair.number, { value })}
          />
          <Button
            kind="quiet"
            icon="cross"
            aria-label={`Remove ${pair.key || `pair ${i + 1}`}`}
            onClick={() => onChange(pairs.filter((other) => other.number !== pair.number))}
          />
        </div>
      ))}
      {pairs.length < pairsMax && (
        <div>
          <Button small icon="plus" onClick={add}>
            Add a pair
          </Button>
        </div>
      )}
      {error && (
        <p id={`${id}-error`} className={styles.error} role="alert">
          {error}
        </p>
      )}
    </fieldset>
  );
}
