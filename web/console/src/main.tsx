import { TransportProvider } from "@connectrpc/connect-query";
import { QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Router } from "wouter";
import { App } from "./app";
import { basePath, serverPath } from "./lib/base";
import { queryClient, transport } from "./lib/rpc";
import { beginSession } from "./lib/sign-in";
import "./styles/tokens.css";
import "./styles/base.css";

// The icon is asked for again when the address has changed, and with the address what it is relative to.
const icon = document.querySelector<HTMLLinkElement>("link[rel=icon]");
if (icon) icon.href = serverPath("/favicon.svg");

beginSession();

const root = document.getElementById("root");
if (!root) throw new Error("index.html has no #root");
createRoot(root).render(
  <StrictMode>
    <TransportProvider transport={transport}>
      <QueryClientProvider client={queryClient}>
        <Router base={basePath}>
          <App />
        </Router>
      </QueryClientProvider>
    </TransportProvider>
  </StrictMode>,
);
