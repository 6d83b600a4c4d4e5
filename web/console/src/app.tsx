import { type ReactNode, useEffect, useRef, useState } from "react";
import { Link, Route, Switch, useLocation } from "wouter";
import styles from "./app.module.css";
import { serverPath } from "./lib/base";
import { Account } from "./pages/account";
import { Accounts } from "./pages/accounts";
import { Developers } from "./pages/developers";
import { NewTransfer } from "./pages/new-transfer";
import { NotFound } from "./pages/not-found";
import { Overview } from "./pages/overview";
import { Schedules } from "./pages/schedules";
import { Transfer } from "./pages/transfer";
import { Transfers } from "./pages/transfers";
import { Webhook } from "./pages/webhook";
import { Webhooks } from "./pages/webhooks";
import { ThemeToggle } from "./theme";
import { Button, ConnectionStatus, Icon, type IconName, Toasts } from "./ui";

const pages: { href: string; label: string; icon: IconName }[] = [
  { href: "/", label: "Overview", icon: "overview" },
  { href: "/accounts", label: "Accounts", icon: "accounts" },
  { href: "/transfers", label: "Transfers", icon: "transfers" },
  { href: "/schedules", label: "Schedules", icon: "schedules" },
  { href: "/webhooks", label: "Webhooks", icon: "webhooks" },
  { href: "/developers", label: "Developers", icon: "developers" },
];

/** The frame around every page, and which page is where. */
export function App() {
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
            <Route path="/" component={Overview} />
            <Route path="/accounts" component={Accounts} />
            <Route path="/accounts/:id">{({ id }) => <Account key={id} id={id} />}</Route>
            <Route path="/transfers" component={Transfers} />
            <Route path="/transfers/:id">{({ id }) => <Transfer key={id} id={id} />}</Route>
            <Route path="/new-transfer" component={NewTransfer} />
            <Route path="/schedules" component={Schedules} />
            <Route path="/webhooks" component={Webhooks} />
            <Route path="/webhooks/:id">{({ id }) => <Webhook key={id} id={id} />}</Route>
            <Route path="/developers" component={Developers} />
            <Route component={NotFound} />
          </Switch>
        </div>
      </main>
      <Toasts />
    </div>
  );
}

function Sidebar() {
  const [path] = useLocation();
  const [open, setOpen] = useState(false);
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
        <Link href="/new-transfer" className={styles.action}>
          <Icon name="plus" />
          New transfer
        </Link>
        <nav aria-label="Pages" className={styles.nav}>
          {pages.map((page) => (
            <NavLink key={page.href} href={page.href} current={isCurrent(page.href, path)} icon={page.icon}>
              {page.label}
            </NavLink>
          ))}
          <a href={serverPath("/docs")} className={styles.link}>
            <Icon name="docs" />
            API reference
          </a>
        </nav>
        <div className={styles.foot}>
          <ConnectionStatus />
          <ThemeToggle />
        </div>
      </div>
    </header>
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
