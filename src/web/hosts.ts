/**
 * The addresses this deployment answers at, and the issuer that an address belongs to.
 */
import type { Environment, Settings } from '../config/settings.ts'

interface Host {
  /** As a Host header says it: without the scheme's default port. */
  name: string
  https: boolean
}

export interface Hosts {
  /** The host of `publicUrl`. */
  main: Host
  /** The host that a Host header names, or undefined for one that is not ours. */
  find(header: string | undefined): Host | undefined
  /** The issuer or API under whose URL the path is; the longest wins. */
  environment(host: Host, path: string): Environment | null
}

export function createHosts(settings: Settings): Hosts {
  const main = hostOf(settings.publicUrl)
  const hosts = new Map<string, Host>([[main.name, main]])
  const places: { host: string; path: string; environment: Environment }[] = []
  for (const environment of settings.plans.flatMap((plan) => plan.environments)) {
    const ours = [environment.issuer, ...environment.apis.filter((api) => api.sandbox).map((api) => api.baseUrl)]
    for (const url of ours) {
      const host = hostOf(url)
      hosts.set(host.name, host)
      places.push({ host: host.name, path: new URL(url).pathname.replace(/\/$/, ''), environment })
    }
    const issuer = hostOf(environment.issuer).name
    for (const { path, aliases } of Object.values(environment.endpoints)) {
      for (const place of [path, ...aliases]) places.push({ host: issuer, path: place, environment })
    }
  }
  places.sort((a, b) => b.path.length - a.path.length)

  return {
    main,
    find(header) {
      const name = header?.toLowerCase()
      if (name === undefined) return undefined
      return hosts.get(name) ?? [...hosts.values()].find((host) => name === `${host.name}:${host.https ? 443 : 80}`)
    },
    environment(host, path) {
      const found = places.find(
        (place) => place.host === host.name && (path === place.path || path.startsWith(`${place.path}/`)),
      )
      return found?.environment ?? null
    },
  }
}

function hostOf(url: string): Host {
  const { host, protocol } = new URL(url)
  return { name: host, https: protocol === 'https:' }
}
