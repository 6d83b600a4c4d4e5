// Swagger UI takes its colours from this class.
const dark = matchMedia("(prefers-color-scheme: dark)");
const paint = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", paint);
paint();

SwaggerUIBundle({
  // It lies beside this script, wherever a proxy shows both.
  url: new URL("openapi.json", document.currentScript.src).href,
  dom_id: "#docs",
  deepLinking: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  tryItOutEnabled: true,
  // Else it would ask a service on another host what is wrong with the document.
  validatorUrl: null,
});
