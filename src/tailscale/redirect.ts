/** Follows redirects inside the origin that was asked, and no further: credentials go to no other one. */

/** An answer that points elsewhere, or nowhere. `message` is a part of a sentence. */
export class Redirected extends Error {
  override readonly name = "Redirected";
}

type Fetch = (url: string, init: RequestInit) => Promise<Response>;

const maxHops = 5;

/** A `fetch` that follows up to five redirects. It throws `Redirected` instead of leaving the origin. */
export function followingFetch(fetch: Fetch): Fetch {
  return async (url, init) => {
    let address = url;
    for (let hops = 0; ; hops++) {
      const response = await fetch(address, { ...init, redirect: "manual" });
      const location = response.headers.get("location");
      if (![301, 302, 303, 307, 308].includes(response.status) || location === null) return response;
      await response.body?.cancel();
      if (hops === maxHops) throw new Redirected(`redirected more than ${maxHops} times`);
      const target = URL.canParse(location, address) ? new URL(location, address) : undefined;
      const { origin } = new URL(address);
      if (target === undefined) throw new Redirected("redirected to what is no address");
      if (target.origin !== origin) throw new Redirected(`redirected from ${origin} to ${target.origin}`);
      // The other statuses turn a POST into a GET, which is another call.
      if (init.method !== "GET" && response.status !== 307 && response.status !== 308) {
        throw new Redirected(`redirected with HTTP ${response.status}, which would be another call`);
      }
      address = target.href;
    }
  };
}
