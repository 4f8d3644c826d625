/**
 * The value of a Kafka record on the topic zkp2p-events, as JSON in UTF-8, at most 1 MiB.
 * The record's key is `data.sessionId`. The same contract as zkp2p_payment.v1.json.
 *
 * You may add fields: those not named here are ignored. Other values of `event` are ignored too.
 */
export interface Zkp2pPayment {
  /** Which kind of event this is. */
  event: "zkp2p_payment";
  /** The user who pays: an integer 1..4294967295, written without fraction or exponent. */
  userId: number;
  /**
   * When it happened: RFC 3339 with seconds and a zone, such as `new Date().toISOString()`.
   * From 90 days before to 1 day after the Kafka record's own timestamp, which counts where this is absent or null.
   */
  timestamp?: string | null;
  /** The payment. */
  data: Zkp2pPaymentData;
}

export interface Zkp2pPaymentData {
  /** The step: clicked the payment button, paid, saw it fail, or left without completing. */
  eventType: Zkp2pEventType;
  /** What the user pays with. */
  paymentMethod: Zkp2pPaymentMethod;
  /** US dollars 0..99999999.99 in whole cents; 0.1 + 0.2 is fine, 19.999 is refused. */
  usdAmount: number;
  /** Buzz bought: an integer 0..4294967295, written without fraction or exponent. */
  buzzAmount: number;
  /** 1 to 128 characters, no control characters; the same for all events of one payment, and the record's key. */
  sessionId: string;
  /** What went wrong; cut to 4096 characters. */
  errorMessage?: string | null;
}

export type Zkp2pEventType = "attempt" | "success" | "error" | "abandoned";

export type Zkp2pPaymentMethod = "venmo" | "cashapp" | "paypal" | "zelle" | "wise" | "revolut";
