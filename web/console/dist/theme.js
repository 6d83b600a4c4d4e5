// Runs before the first paint, so that a remembered theme never flashes the other one. It is a file of its own because
// the Content-Security-Policy allows no inline script.
try {
  const theme = localStorage.getItem("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage is denied: the theme follows the system.
}
