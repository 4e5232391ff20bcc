package vn.lienthong.adapter;

/** Somebody else has the delivery now: stop, and say nothing more about it. */
public final class LeaseLost extends RuntimeException {
}
