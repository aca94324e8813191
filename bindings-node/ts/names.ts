/** The names of bindings as types: any text, or those of the documents where a program has them as types. */

declare global {
  /**
   * The names in the component documents. `bindwright types --language typescript` writes a file that declares them; a
   * program that adds components at run time declares those beside it.
   */
  namespace Bindwright {
    /** Bindings that send, each with what it can be asked. */
    interface Outputs {}
    /** Bindings that receive. */
    interface Inputs {}
  }
}

type NameIn<Names> = [keyof Names] extends [never] ? string : keyof Names & string

/** A binding that sends; any text while no file declares names. */
export type OutputName = NameIn<Bindwright.Outputs>

/** A binding that receives; any text while no file declares names. */
export type InputName = NameIn<Bindwright.Inputs>

/** What a binding can be asked. */
export type Operation<Name extends string = OutputName> = Name extends keyof Bindwright.Outputs
  ? Bindwright.Outputs[Name]
  : string
