import type { ReactNode } from "react";

// Drawn on a grid of 16, with lines of 1.5. They say nothing to screen readers: the text beside them does.
const paths = {
  overview: <path d="M2 13.5h12M3.5 11V8.5M8 11V3M12.5 11V6" />,
  accounts: <path d="M8 2 2 5v1.5h12V5zM3.5 6.5V12m3-5.5V12m3-5.5V12m3-5.5V12M2 13.5h12" />,
  transfers: <path d="M2.5 5.5h10.5m-3-3 3 3-3 3M13.5 10.5H3m3 3-3-3 3-3" />,
  plus: <path d="M8 3v10M3 8h10" />,
  schedules: (
    <>
      <circle cx="8" cy="8" r="6" />
      <path d="M8 4.5V8l2.5 1.5" />
    </>
  ),
  webhooks: <path d="M8.5 2 4 9h4l-.5 5L12 7H8z" />,
  keys: (
    <>
      <circle cx="5" cy="11" r="3" />
      <path d="m7.2 8.8 6.3-6.3m-3 3 2 2" />
    </>
  ),
  signOut: <path d="M6.5 2.5h-4v11h4M10 5l3 3-3 3m3-3H6" />,
  developers: <path d="m5 4.5-3.5 3.5L5 11.5m6-7 3.5 3.5-3.5 3.5M9.2 3l-2.4 10" />,
  docs: <path d="M3.5 2.5h6l3 3v8h-9zM9 2.5V6h3.5M5.5 8.5h5m-5 2.5h3" />,
  copy: (
    <>
      <rect x="5.5" y="5.5" width="8" height="8" rx="1.5" />
      <path d="M10.5 3.5v-.2a.8.8 0 0 0-.8-.8H3.3a.8.8 0 0 0-.8.8v6.4c0 .4.4.8.8.800h.2" />
    </>
  ),
  check: <path d="m3 8.5 3.2 3.2L13 4.8" />,
  cross: <path d="m4 4 8 8m0-8-8 8" />,
  clock: (
    <>
      <circle cx="8" cy="8" r="5.5" />
      <path d="M8 5v3.2l2 1.3" />
    </>
  ),
  search: (
    <>
      <circle cx="7" cy="7" r="4.5" />
      <path d="m10.5 10.5 3 3" />
    </>
  ),
  down: <path d="m4 6 4 4 4-4" />,
  right: <path d="m6 4 4 4-4 4" />,
  left: <path d="m10 4-4 4 4 4" />,
  menu: <path d="M2.5 4.5h11m-11 3.5h11m-11 3.5h11" />,
  sun: (
    <>
      <circle cx="8" cy="8" r="2.75" />
      <path d="M8 1.5v1.5m0 10v1.5M1.5 8H3m10 0h1.5M3.4 3.4l1.1 1.1m7 7 1.1 1.1m0-9.2-1.1 1.1m-7 7-1.1 1.1" />
    </>
  ),
  moon: <path d="M13.5 9.5A5.75 5.75 0 0 1 6.5 2.5a5.75 5.75 0 1 0 7 7z" />,
  system: <path d="M2 3h12v8H2zm3.5 10.5h5M8 11v2.5" />,
  alert: <path d="M8 2.2 14.3 13H1.7zM8 6.2v3.2m0 1.8v.1" />,
  info: (
    <>
      <circle cx="8" cy="8" r="6" />
      <path d="M8 7.3v3.7M8 5v.1" />
    </>
  ),
  external: <path d="M6.5 3.5h-3v9h9v-3M9 2.5h4.5V7M13 3 7.5 8.5" />,
  refresh: <path d="M13 8a5 5 0 1 1-1.5-3.6M13 2v2.8h-2.8" />,
  dot: <circle cx="8" cy="8" r="3" fill="currentColor" stroke="none" />,
  pause: <path d="M5.5 3.5v9m5-9v9" />,
  play: <path d="M5 3.2 12.5 8 5 12.8z" />,
  lock: <path d="M3.5 7h9v6.5h-9zM5.5 7V5a2.5 2.5 0 0 1 5 0v2" />,
  more: <path d="M3.5 8v.1M8 8v.1M12.5 8v.1" strokeWidth="2.2" />,
  download: <path d="M8 2.5v7.5m-3-3 3 3 3-3M2.5 13.5h11" />,
  shield: <path d="M8 1.8 13 3.6v4c0 3-2 5.2-5 6.6-3-1.4-5-3.6-5-6.6v-4zM5.7 8l1.7 1.7 3-3.2" />,
} satisfies Record<string, ReactNode>;

export type IconName = keyof typeof paths;

/** A small drawing beside text. */
export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 16 16"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
      focusable="false"
    >
      {paths[name]}
    </svg>
  );
}
