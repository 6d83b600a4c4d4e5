import type { ReactNode } from "react";
import { Button } from "./button";
import { EmptyState, ErrorNotice } from "./notice";
import styles from "./table.module.css";

/** A column of a table. */
export interface Column<Row> {
  id: string;
  header: string;
  cell: (row: Row) => ReactNode;
  /** "end" for amounts and numbers. */
  align?: "end";
  /** What names the row: set on one column. On a phone it heads the row's card. */
  primary?: boolean;
  /** Leave the column out where there is little room: below 72rem, or on phones. */
  hide?: "narrow" | "phone";
  /** Let the column be as small as its content. */
  fit?: boolean;
}

/** What a table shows while, or because, there are no rows; what tableState makes of a query. */
export interface TableState {
  loading?: boolean;
  error?: unknown;
  onRetry?: () => void;
  /** There are more rows: a button below the table fetches them. */
  more?: { loading: boolean; onMore: () => void } | undefined;
}

/** The parts of a query, paged or not, that a table shows. */
export function tableState(query: {
  isPending: boolean;
  error: unknown;
  data: unknown;
  refetch: () => unknown;
  hasNextPage?: boolean;
  isFetchingNextPage?: boolean;
  fetchNextPage?: () => unknown;
}): TableState {
  const state: TableState = {
    loading: query.isPending,
    // What was read before the error stays; the page's state of connection tells of it.
    error: query.data === undefined ? query.error : null,
    onRetry: () => void query.refetch(),
  };
  if (query.hasNextPage) {
    state.more = { loading: query.isFetchingNextPage ?? false, onMore: () => void query.fetchNextPage?.() };
  }
  return state;
}

/**
 * Rows and columns, with what is shown while they load, when there are none and when they cannot be had. On a phone each
 * row becomes a card, and no page scrolls sideways.
 */
export function Table<Row>({
  label,
  columns,
  rows,
  rowKey,
  rowClass,
  empty,
  emptyAction,
  loading = false,
  error,
  onRetry,
  more,
  skeletonRows = 8,
}: TableState & {
  /** What the table is of, for screen readers. */
  label: string;
  columns: Column<Row>[];
  rows: Row[] | undefined;
  rowKey: (row: Row) => string;
  /** A class for a row, such as "new" for one that just came. */
  rowClass?: (row: Row) => "new" | undefined;
  /** A sentence for when there are no rows. */
  empty: ReactNode;
  emptyAction?: ReactNode;
  skeletonRows?: number;
}) {
  if (error) return <ErrorNotice error={error} onRetry={onRetry} />;
  if (!loading && rows?.length === 0) return <EmptyState action={emptyAction}>{empty}</EmptyState>;
  return (
    <div className={styles.frame}>
      {/* The roles are said again, because browsers forget them when a table is laid out as cards. */}
      {/* biome-ignore-start lint/a11y/noRedundantRoles: see above */}
      <table role="table" className={styles.table} aria-label={label} aria-busy={loading}>
        <thead role="rowgroup">
          <tr role="row">
            {columns.map((column) => (
              <th key={column.id} role="columnheader" scope="col" {...cellProps(column)}>
                {column.header}
              </th>
            ))}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {loading && !rows?.length
            ? Array.from({ length: skeletonRows }, (_, i) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: they are all alike
                <tr key={i} role="row" className={styles.skeleton}>
                  {columns.map((column) => (
                    <td key={column.id} role="cell" {...cellProps(column)}>
                      <span className={styles.bar} />
                    </td>
                  ))}
                </tr>
              ))
            : rows?.map((row) => (
                <tr
                  key={rowKey(row)}
                  role="row"
                  className={rowClass?.(row) && styles[rowClass(row) as string]}
                >
                  {columns.map((column) => (
                    <td key={column.id} role="cell" data-label={column.header} {...cellProps(column)}>
                      {column.cell(row)}
                    </td>
                  ))}
                </tr>
              ))}
        </tbody>
      </table>
      {/* biome-ignore-end lint/a11y/noRedundantRoles: see above */}
      {more && (
        <div className={styles.more}>
          <Button small busy={more.loading} onClick={more.onMore}>
            Load more
          </Button>
        </div>
      )}
    </div>
  );
}

function cellProps<Row>(column: Column<Row>) {
  return {
    "data-align": column.align,
    "data-hide": column.hide,
    "data-fit": column.fit || undefined,
    "data-primary": column.primary || undefined,
  };
}
