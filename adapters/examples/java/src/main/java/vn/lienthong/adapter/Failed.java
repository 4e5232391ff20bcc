package vn.lienthong.adapter;

/** The system does not have the delivery. */
public final class Failed extends Exception {
    /** Stable: A-Z, 0-9 and _. */
    public final String code;
    /** False: the system will never take it, and the sender is told so. */
    public final boolean retryable;

    /** {@code detail} is for operators: no payload, no secrets. */
    public Failed(String code, String detail, boolean retryable) {
        super(detail);
        this.code = code;
        this.retryable = retryable;
    }
}
