import { useCombobox } from "downshift";
import type { ReactNode } from "react";
import styles from "./combobox.module.css";
import { Field } from "./field";
import { Icon } from "./icons";

/**
 * A field whose value is one of many things, found by typing. The caller searches: it is told what is typed and gives the
 * items to show.
 */
export function Combobox<Item>({
  label,
  hint,
  error,
  hideLabel = false,
  optional = false,
  placeholder,
  value,
  items,
  loading = false,
  empty = "Nothing found.",
  itemKey,
  itemText,
  renderItem,
  onSearch,
  onChange,
}: {
  label: string;
  hint?: ReactNode;
  error?: string | undefined;
  hideLabel?: boolean;
  optional?: boolean;
  placeholder?: string;
  value: Item | null;
  items: readonly Item[];
  loading?: boolean;
  empty?: string;
  itemKey: (item: Item) => string;
  /** What the field shows of the chosen item. */
  itemText: (item: Item) => string;
  renderItem: (item: Item) => ReactNode;
  /** What is typed; empty when the list is to show what comes first. */
  onSearch: (text: string) => void;
  onChange: (item: Item | null) => void;
}) {
  const box = useCombobox<Item>({
    items: items as Item[],
    selectedItem: value,
    itemToString: (item) => (item ? itemText(item) : ""),
    itemToKey: (item) => (item ? itemKey(item) : ""),
    defaultHighlightedIndex: 0,
    onSelectedItemChange: ({ selectedItem }) => onChange(selectedItem),
    onInputValueChange: ({ inputValue, type }) => {
      if (type !== useCombobox.stateChangeTypes.InputChange) {
        onSearch("");
        return;
      }
      onSearch(inputValue);
      if (inputValue === "") onChange(null);
    },
    stateReducer: (_, { type, changes }) => {
      switch (type) {
        // A field that is entered shows what there is, and one that is left shows what was chosen.
        case useCombobox.stateChangeTypes.InputClick:
          return { ...changes, isOpen: true };
        case useCombobox.stateChangeTypes.InputBlur:
        case useCombobox.stateChangeTypes.InputKeyDownEscape:
          return { ...changes, selectedItem: value, inputValue: value ? itemText(value) : "" };
        default:
          return changes;
      }
    },
  });
  return (
    <div className={styles.box}>
      <Field label={label} hint={hint} error={error} hideLabel={hideLabel} optional={optional}>
        {(control) => (
          <div className={styles.group}>
            <input
              {...box.getInputProps({
                ...control,
                placeholder,
                autoComplete: "off",
                spellCheck: false,
                onFocus: (event) => event.currentTarget.select(),
              })}
              id={control.id}
              aria-labelledby={undefined}
              {...(items.length === 0 && { "aria-activedescendant": "" })}
              className={styles.input}
            />
            {value && (
              <button
                type="button"
                className={styles.clear}
                aria-label={`Clear ${label.toLowerCase()}`}
                onClick={() => {
                  box.selectItem(null);
                  document.getElementById(control.id)?.focus();
                }}
              >
                <Icon name="cross" size={14} />
              </button>
            )}
          </div>
        )}
      </Field>
      {/* biome-ignore lint/a11y/noStaticElementInteractions: it scrolls, and so would take the focus from the field */}
      <div
        className={styles.popup}
        hidden={!box.isOpen}
        tabIndex={-1}
        onMouseDown={(event) => event.preventDefault()}
      >
        <ul
          {...box.getMenuProps({ "aria-label": label })}
          aria-labelledby={undefined}
          className={styles.list}
        >
          {box.isOpen &&
            items.map((item, index) => (
              <li
                key={itemKey(item)}
                {...box.getItemProps({ item, index })}
                className={styles.item}
                data-highlighted={box.highlightedIndex === index || undefined}
              >
                {renderItem(item)}
              </li>
            ))}
        </ul>
        <div className={styles.note} role="status">
          {box.isOpen && (loading ? "Searching…" : items.length === 0 ? empty : null)}
        </div>
      </div>
    </div>
  );
}
