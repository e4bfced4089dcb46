// Serves one edge function as its host would: node function_host.mjs KIND FILE [MODULE].
// Prints the port. KIND is netlify, cloudflare or vercel; MODULE is miniflare's entry point.
import http from "node:http";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [kind, file, miniflare] = process.argv.slice(2);

// What the site itself answers: pages, except below /data, with a cookie and caching of its own.
function site(url) {
  const type = new URL(url).pathname.startsWith("/data") ? "application/json" : "text/html";
  const headers = new Headers({ "content-type": type, "cache-control": "public, max-age=600" });
  headers.append("set-cookie", "own=1; Path=/");
  return new Response("page", { headers });
}

const hosts = {
  async netlify() {
    const { default: run } = await import(pathToFileURL(file));
    return async (request) => (await run(request, { next: async () => site(request.url) })) || site(request.url);
  },
  async vercel() {
    const { default: run } = await import(pathToFileURL(file));
    return async (request) => {
      const answer = run(request);
      if (answer.headers.get("x-middleware-next") !== "1") throw new Error("not passed on");
      const response = site(request.url);
      for (const [name, value] of answer.headers) {
        if (name === "set-cookie") response.headers.append(name, value);
        else if (name !== "x-middleware-next") response.headers.set(name, value);
      }
      return response;
    };
  },
};

if (kind === "cloudflare") {
  const { Miniflare } = await import(pathToFileURL(miniflare));
  const worker = `
    import { onRequest } from "./functions/_middleware.js";
    export default {
      fetch: (request, env) => onRequest({ request, env, next: () => env.SITE.fetch(request) }),
    };`;
  const runtime = new Miniflare({
    host: "127.0.0.1",
    port: 0,
    compatibilityDate: "2026-01-01",
    modules: [
      { type: "ESModule", path: "worker.js", contents: worker },
      { type: "ESModule", path: "functions/_middleware.js", contents: readFileSync(file, "utf8") },
    ],
    serviceBindings: {
      SITE: (request) => {
        const response = site(request.url);
        return new Response(response.body, { headers: [...response.headers] });
      },
    },
  });
  console.log((await runtime.ready).port);
  process.on("SIGTERM", () => runtime.dispose().then(() => process.exit(0)));
} else {
  const run = await hosts[kind]();
  const server = http.createServer(async (incoming, outgoing) => {
    try {
      const { method, headers, url } = incoming;
      const response = await run(new Request(`https://${headers.host}${url}`, { method, headers }));
      outgoing.writeHead(response.status, [...response.headers].flat());
      outgoing.end(method === "HEAD" ? undefined : await response.text());
    } catch (error) {
      outgoing.writeHead(500).end(String(error));
    }
  });
  server.listen(0, "127.0.0.1", () => console.log(server.address().port));
  process.on("SIGTERM", () => process.exit(0));
}
