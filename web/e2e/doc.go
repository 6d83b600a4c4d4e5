// Package e2e has tests only: they drive the program, as users get it, with a real browser, and
// through real proxies. They need Chromium, nginx and HAProxy, and fail without them.
//
// A test describes what a person does and sees. It finds things by role and accessible name, as a
// screen reader does, never by how the page is built, so that screen readers can use all that it
// uses. It waits for what it expects, up to -wait. At its end each page must have kept the rules of
// all pages: no error in the console, no request to another host, nothing that the
// Content-Security-Policy refused.
package e2e
