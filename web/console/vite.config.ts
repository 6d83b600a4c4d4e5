import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The server that the development server hands calls on to.
const server = process.env.SERVER ?? "http://localhost:9091";

export default defineConfig({
  plugins: [react()],
  // The page names its files relative to itself: the server sees to it that this is right on every page,
  // and a proxy may show all of it under a path.
  base: "./",
  // The client is compiled with the console, from its source.
  resolve: { conditions: ["internaltransfers-source", "module", "browser", "import", "default"] },
  css: { modules: { generateScopedName: "[name]-[local]" } },
  build: {
    // What these know needs no translation: light-dark(), nested CSS, :has().
    target: ["chrome123", "firefox121", "safari17.5"],
    // One script and one style sheet: a page that is open while the server is replaced never mixes two builds.
    cssCodeSplit: false,
    modulePreload: false,
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1000,
    reportCompressedSize: false,
    rolldownOptions: {
      output: {
        // The names are fixed, so that a build that changed nothing changes no file; the server sends an ETag.
        entryFileNames: "assets/[name].js",
        chunkFileNames: "assets/[name].js",
        assetFileNames: "assets/[name][extname]",
        codeSplitting: false,
      },
    },
  },
  server: {
    proxy: Object.fromEntries(
      ["/api", "/docs", "/healthcheck", "/readycheck", "/session", "/transfers.v1."].map((path) => [
        path,
        { target: server, changeOrigin: true },
      ]),
    ),
  },
});
