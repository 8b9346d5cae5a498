// @ts-check
/** Service worker: caches the page for offline use, and adds the headers that threads need. */

const CACHE = "hf-lesion-BUILD"; // scripts/publish.py sets a new version when a file changes
const SHELL = ["./", "app.js", "image.js", "model.js", "heatmap.js", "style.css", "page.json",
  "manifest.json", "icon.svg"];
/** @type {any} */
const worker = self;

worker.addEventListener("install", (event) => {
  worker.skipWaiting();
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(SHELL)));
});

worker.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    const old = (await caches.keys()).filter((name) => name.startsWith("hf-lesion-") && name !== CACHE);
    await Promise.all(old.map((name) => caches.delete(name)));
    await worker.clients.claim();
  })());
});

worker.addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  if (method === "GET" && new URL(url).origin === location.origin) event.respondWith(answer(url));
});

/** @param {string} url */
async function answer(url) {
  const cache = await caches.open(CACHE);
  let found = await cache.match(url, { ignoreSearch: true });
  if (!found) {
    found = await fetch(url, { cache: "no-cache" });
    if (found.ok) await cache.put(url, found.clone());
  }
  const headers = new Headers(found.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  const { status, statusText } = found;
  return new Response(found.body, { status, statusText, headers });
}
