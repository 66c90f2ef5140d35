/**
 * The usual sensitive categories and the security labels by which their records are known (R25). Data only.
 *
 * A plan says which of them its members can release, and may define others. Words are in the catalogues:
 * `sensitive.{code}.title`, `sensitive.{code}.text`.
 */

/** A security label that makes a resource sensitive. */
export interface SensitiveLabel {
  system: string
  code: string
}

export const actCode = 'http://terminology.hl7.org/CodeSystem/v3-ActCode'

const labels = (codes: string): SensitiveLabel[] => codes.split(' ').map((code) => ({ system: actCode, code }))

/** HL7's information sensitivity policies that US health plans meet, by category. */
export const knownCategories: Record<string, SensitiveLabel[]> = {
  'substance-use': labels('ETH ETHUD OPIOIDUD SUD'),
  'mental-health': labels('PSY PSYTHPN MH BH COGN EMOTDIS'),
  'sexual-health': labels('SEX STD PREGNANT'),
  hiv: labels('HIV'),
  genetics: labels('GDIS'),
  violence: labels('SCA SDV DV VIO MST'),
}
