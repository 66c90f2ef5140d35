/** Colours as eyes see them: contrast (WCAG 2.2, "contrast ratio"), and mixtures as CSS makes them in `oklab`. */

type Triple = readonly [number, number, number]

/** Of `#rgb` or `#rrggbb`: red, green and blue as light, 0 to 1. */
function lightOf(color: string): Triple {
  const digits = color.length === 4 ? color.replace(/[0-9a-f]/gi, '$&$&') : color
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((start) => {
    const part = Number.parseInt(digits.slice(start, start + 2), 16) / 255
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
  })
  return [red, green, blue]
}

function colorOf(light: Triple): string {
  const parts = light.map((part) => {
    const within = Math.min(1, Math.max(0, part))
    return Math.round((within <= 0.0031308 ? within * 12.92 : 1.055 * within ** (1 / 2.4) - 0.055) * 255)
  })
  return `#${parts.map((part) => part.toString(16).padStart(2, '0')).join('')}`
}

const times = (rows: readonly Triple[], [x, y, z]: Triple): Triple =>
  rows.map(([a, b, c]) => a * x + b * y + c * z) as unknown as Triple

/** CSS Color 4, "Sample code for color conversions". */
const toCones: Triple[] = [
  [0.4122214708, 0.5363325363, 0.0514459929],
  [0.2119034982, 0.6806995451, 0.1073969566],
  [0.0883024619, 0.2817188376, 0.6299787005],
]
const toLab: Triple[] = [
  [0.2104542553, 0.793617785, -0.0040720468],
  [1.9779984951, -2.428592205, 0.4505937099],
  [0.0259040371, 0.7827717662, -0.808675766],
]
const fromLab: Triple[] = [
  [1, 0.3963377774, 0.2158037573],
  [1, -0.1055613458, -0.0638541728],
  [1, -0.0894841775, -1.291485548],
]
const fromCones: Triple[] = [
  [4.0767416621, -3.3077115913, 0.2309699292],
  [-1.2684380046, 2.6097574011, -0.3413193965],
  [-0.0041960863, -0.7034186147, 1.707614701],
]

/** `color-mix(in oklab, color share, other)`; `share` is 0 to 1. */
export function mixed(color: string, share: number, other: string): string {
  const [one, two] = [color, other].map((each) => times(toLab, times(toCones, lightOf(each)).map(Math.cbrt) as never))
  const lab = one?.map((part, at) => part * share + (two?.[at] ?? 0) * (1 - share)) as unknown as Triple
  return colorOf(times(fromCones, times(fromLab, lab).map((part) => part ** 3) as never))
}

/** 1 to 21. */
export function contrast(color: string, other: string): number {
  const [dark = 0, bright = 0] = [color, other]
    .map(lightOf)
    .map(([red, green, blue]) => 0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)
    .sort((a, b) => a - b)
  return bright / dark
}
