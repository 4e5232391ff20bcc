package vn.lienthong.adapter;

import java.util.Map;
import java.util.Properties;

/** What an adapter's author writes; {@link Worker} does the rest. */
public interface Adapter {
    /** Name of the adapter, for the operator. */
    String name();

    /** Its version. */
    default String version() { return "1.0.0"; }

    /** JSON Schema of its configuration. */
    String schema();

    /** What is wrong with the configuration, by key; no effects, no secrets in the texts. */
    Map<String, String> problems(Properties config);

    /** Called once, before any work. */
    void open(Properties config) throws Exception;

    /**
     * Hands one delivery to the system and returns its reference there, as soon as the system has it durably. Must be harmless the second
     * time. Throws {@link Failed}; any other exception means: try again later.
     */
    String deliver(Delivery delivery) throws Exception;
}
