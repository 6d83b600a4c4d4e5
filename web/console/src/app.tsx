import { type ReactNode, useEffect, useRef, useState, useSyncExternalStore } from "react";
import { Link, Redirect, Route, Switch, useLocation } from "wouter";
import styles from "./app.module.css";
import { serverPath } from "./lib/base";
import { lacking, type Needs, type Permission, useCaller, usePermission } from "./lib/permissions";
import { session } from "./lib/session";
import { Account } from "./pages/account";
import { Accounts } from "./pages/accounts";
import { Developers } from "./pages/developers";
import { Keys } from "./pages/keys";
import { NewTransfer } from "./pages/new-transfer";
import { NotFound } from "./pages/not-found";
import { Overview } from "./pages/overview";
import { Schedules } from "./pages/schedules";
import { SignIn } from "./pages/sign-in";
import { Transfer } from "./pages/transfer";
import { Transfers } from "./pages/transfers";
import { Webhook } from "./pages/webhook";
import { Webhooks } from "./pages/webhooks";
import { Reader } from "./parts/reader";
import { ThemeToggle } from "./theme";
import {
  Button,
  ButtonLink,
  ConnectionStatus,
  Denied,
  EmptyState,
  Icon,
  type IconName,
  PageHeader,
  Toasts,
} from "./ui";

/** What every page shows something of. */
const reads = ["accounts.read", "transfers.read"] as const;

const pages: { href: string; label: string; icon: IconName; needs?: Needs }[] = [
  { href: "/", label: "Overview", icon: "overview", needs: reads },
  { href: "/accounts", label: "Accounts", icon: "accounts", needs: "accounts.read" },
  { href: "/transfers", label: "Transfers", icon: "transfers", needs: "transfers.read" },
  { href: "/schedules", label: "Schedules", icon: "schedules", needs: "schedules.read" },
  { href: "/webhooks", label: "Webhooks", icon: "webhooks", needs: "webhooks.read" },
  { href: "/keys", label: "Keys", icon: "keys", needs: "keys.admin" },
  { href: "/developers", label: "Developers", icon: "developers" },
];

/** The pages that the reader may see something on. */
function usePages() {
  const caller = useCaller();
  return pages.filter(({ needs }) => lacking(caller, needs).length === 0);
}

/** The console for who is signed in, or needs not be; else where one signs in. The address stays. */
export function App() {
  const state = useSyncExternalStore(session.subscribe, () => session.state);
  switch (state.phase) {
    case "asking":
      return (
        <div className={styles.asking} aria-busy="true">
          Asking the server…
        </div>
      );
    case "out":
      return <SignIn why={state.why} />;
    case "in":
      // Another key may do and see other things: nothing is left of what was shown before.
      return <Console key={state.caller?.apiKeyId} />;
  }
}

/** The frame around every page, and which page is where. */
function Console() {
  useScrollToTop();
  return (
    <div className={styles.app}>
      <a href="#main" className={styles.skip}>
        Skip to content
      </a>
      <Sidebar />
      <main id="main" className={styles.main} tabIndex={-1}>
        <div className={styles.page}>
          <Switch>
            <Route path="/">
              <Home />
            </Route>
            <Route path="/accounts">{guard("Accounts", "accounts.read", <Accounts />)}</Route>
            <Route path="/accounts/:id">
              {({ id }) => guard("Account", "accounts.read", <Account key={id} id={id} />)}
            </Route>
            <Route path="/transfers">{guard("Transfers", "transfers.read", <Transfers />)}</Route>
            <Route path="/transfers/:id">
              {({ id }) => guard("Transfer", "transfers.read", <Transfer key={id} id={id} />)}
            </Route>
            <Route path="/new-transfer" component={NewTransfer} />
            <Route path="/schedules">{guard("Schedules", "schedules.read", <Schedules />)}</Route>
            <Route path="/webhooks">{guard("Webhooks", "webhooks.read", <Webhooks />)}</Route>
            <Route path="/webhooks/:id">
              {({ id }) => guard("Webhook endpoint", "webhooks.read", <Webhook key={id} id={id} />)}
            </Route>
            <Route path="/keys">{guard("Keys", "keys.admin", <Keys />)}</Route>
            <Route path="/developers" component={Developers} />
            <Route component={NotFound} />
          </Switch>
        </div>
      </main>
      <Toasts />
    </div>
  );
}

/** The first page: the overview, or for who may not see it the first page that they may. */
function Home() {
  const first = usePages()[0]?.href ?? "/";
  return first === "/" ? <Overview /> : <Redirect to={first} replace />;
}

function guard(title: string, needs: Permission, page: ReactNode) {
  return (
    <Guard title={title} needs={needs}>
      {page}
    </Guard>
  );
}

/** A page, if the reader may see it. One that would only show errors makes no calls. */
function Guard({ title, needs, children }: { title: string; needs: Permission; children: ReactNode }) {
  const reason = usePermission(needs);
  if (!reason) return children;
  return (
    <>
      <PageHeader title={title} />
      <EmptyState
        title="Your key may not see this"
        action={<ButtonLink href="/">Go to the start</ButtonLink>}
      >
        {reason}.
      </EmptyState>
    </>
  );
}

function Sidebar() {
  const [path] = useLocation();
  const [open, setOpen] = useState(false);
  const shown = usePages();
  // biome-ignore lint/correctness/useExhaustiveDependencies: whoever went to a page has done with the menu
  useEffect(() => setOpen(false), [path]);
  return (
    <header className={styles.side} data-open={open}>
      <div className={styles.brand}>
        <Link href="/" className={styles.name}>
          <img src={serverPath("/favicon.svg")} alt="" width="24" height="24" />
          Internal transfers
        </Link>
        <span className={styles.menuButton}>
          <Button
            kind="quiet"
            icon={open ? "cross" : "menu"}
            aria-expanded={open}
            aria-controls="menu"
            aria-label={open ? "Close menu" : "Open menu"}
            onClick={() => setOpen(!open)}
          />
        </span>
      </div>
      <div id="menu" className={styles.menu}>
        <NewTransferLink />
        <nav aria-label="Pages" className={styles.nav}>
          {shown.map((page) => (
            <NavLink key={page.href} href={page.href} current={isCurrent(page.href, path)} icon={page.icon}>
              {page.label}
            </NavLink>
          ))}
          <a href={serverPath("/docs")} className={styles.link}>
            <Icon name="docs" />
            API reference
          </a>
        </nav>
        <div className={styles.end}>
          <Reader />
          <div className={styles.foot}>
            <ConnectionStatus />
            <ThemeToggle />
          </div>
        </div>
      </div>
    </header>
  );
}

function NewTransferLink() {
  const reason = usePermission("transfers.create");
  const content = (
    <>
      <Icon name="plus" />
      New transfer
    </>
  );
  if (reason) {
    return (
      <Denied reason={reason}>
        {(denied) => (
          <button type="button" className={styles.action} {...denied}>
            {content}
          </button>
        )}
      </Denied>
    );
  }
  return (
    <Link href="/new-transfer" className={styles.action}>
      {content}
    </Link>
  );
}

function isCurrent(href: string, path: string): boolean {
  return href === "/" ? path === "/" : path === href || path.startsWith(`${href}/`);
}

function NavLink({
  href,
  current,
  icon,
  children,
}: {
  href: string;
  current: boolean;
  icon: IconName;
  children: ReactNode;
}) {
  return (
    <Link href={href} className={styles.link} aria-current={current ? "page" : undefined}>
      <Icon name={icon} />
      {children}
    </Link>
  );
}

/** A page that one goes to begins at its top; one that one goes back to is where it was left, which browsers see to. */
function useScrollToTop() {
  const [path] = useLocation();
  const back = useRef(false);
  useEffect(() => {
    const note = () => {
      back.current = true;
    };
    addEventListener("popstate", note);
    return () => removeEventListener("popstate", note);
  }, []);
  // biome-ignore lint/correctness/useExhaustiveDependencies: it is about the change of the path
  useEffect(() => {
    if (!back.current) scrollTo(0, 0);
    back.current = false;
  }, [path]);
}
