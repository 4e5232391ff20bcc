package vn.lienthong.adapter;

import io.grpc.Grpc;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import java.io.File;
import java.io.Reader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import lienthong.gateway.v1.Adapter.AdapterCapability;
import lienthong.gateway.v1.Adapter.AdapterInfo;
import lienthong.gateway.v1.Adapter.CompleteRequest;
import lienthong.gateway.v1.Adapter.ConfigProblem;
import lienthong.gateway.v1.Adapter.FailRequest;
import lienthong.gateway.v1.Adapter.HeartbeatRequest;
import lienthong.gateway.v1.Adapter.HeartbeatResponse;
import lienthong.gateway.v1.Adapter.LeaseRequest;
import lienthong.gateway.v1.Adapter.LeaseResponse;
import lienthong.gateway.v1.Adapter.LeasedDelivery;
import lienthong.gateway.v1.Adapter.RegisterRequest;
import lienthong.gateway.v1.Adapter.RegisterResponse;
import lienthong.gateway.v1.Adapter.ReportStatusRequest;
import lienthong.gateway.v1.Adapter.WorkerPhase;
import lienthong.gateway.v1.AdapterServiceGrpc;

/** The loop of an adapter: register, lease, heartbeat, complete or fail, drain. */
public final class Worker {
    private static final int ROOM = 8;
    private static final int WAIT_SECONDS = 20;
    private static final int BAD_CONFIGURATION = 78;
    private static final long[] BACK_OFF_MILLISECONDS = {200, 500, 1_000, 2_000, 5_000, 10_000, 30_000};
    private static final Metadata.Key<byte[]> DETAILS =
        Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER);

    private final Adapter adapter;
    private final AdapterServiceGrpc.AdapterServiceBlockingStub stub;
    private final AdapterServiceGrpc.AdapterServiceFutureStub future;
    private final Map<String, Object> turns = new ConcurrentHashMap<>();
    private final Map<Delivery, Boolean> held = new ConcurrentHashMap<>();
    private final Semaphore room = new Semaphore(ROOM);
    private final ExecutorService pool = Executors.newFixedThreadPool(ROOM);
    private final CountDownLatch asked = new CountDownLatch(1);
    private final CountDownLatch ended = new CountDownLatch(1);
    private volatile boolean draining;
    private volatile java.util.concurrent.Future<LeaseResponse> waiting;
    private volatile String id = "";
    private volatile long heartbeatMilliseconds = 10_000;
    private Journal journal;

    /** Takes the gateway's address and the adapter's identity from the environment. */
    public Worker(Adapter adapter) throws Exception {
        this.adapter = adapter;
        var credentials = TlsChannelCredentials.newBuilder()
            .keyManager(new File(environment("LIENTHONG_CERTIFICATE")), new File(environment("LIENTHONG_KEY")))
            .trustManager(new File(environment("LIENTHONG_ROOTS"))).build();
        String address = environment("LIENTHONG_GATEWAY").replaceFirst("^https://", "").replaceFirst("/$", "");
        ManagedChannel channel = Grpc.newChannelBuilder(address, credentials).keepAliveTime(30, TimeUnit.SECONDS)
            .maxInboundMessageSize(64 * 1024 * 1024).build();
        stub = AdapterServiceGrpc.newBlockingStub(channel);
        future = AdapterServiceGrpc.newFutureStub(channel);
    }

    /** Works until SIGTERM, and ends the process. */
    public void run() throws Exception {
        // The hook keeps the process until the work is done; its exit code then says so instead of the signal's.
        Runtime.getRuntime().addShutdownHook(new Thread(this::drain));
        Properties config = new Properties();
        String path = System.getenv("LIENTHONG_CONFIG");
        if (path != null) {
            try (Reader reader = Files.newBufferedReader(Path.of(path))) {
                config.load(reader);
            }
        }
        Map<String, String> problems = adapter.problems(config);
        register(problems);
        if (!problems.isEmpty()) {
            problems.forEach((key, problem) -> log("configuration: " + key + ": " + problem));
            Runtime.getRuntime().halt(BAD_CONFIGURATION);
        }
        adapter.open(config);
        String state = System.getenv().getOrDefault("LIENTHONG_STATE", "state");
        journal = new Journal(Files.createDirectories(Path.of(state)).resolve("done"));
        Thread heart = new Thread(this::keepLeases);
        heart.setDaemon(true);
        heart.start();
        takeWork();
        pool.shutdown();
        pool.awaitTermination(1, TimeUnit.HOURS);
        leave();
        ended.countDown();
    }

    AdapterServiceGrpc.AdapterServiceBlockingStub stub() { return stub; }

    String id() { return id; }

    private void drain() {
        draining = true;
        asked.countDown();
        var call = waiting;
        if (call != null) call.cancel(true);
        try {
            ended.await(30, TimeUnit.SECONDS);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
        Runtime.getRuntime().halt(ended.getCount() == 0 ? 0 : 1);
    }

    private void leave() {
        try {
            stub.withDeadlineAfter(5, TimeUnit.SECONDS).reportStatus(
                ReportStatusRequest.newBuilder().setWorkerId(id).setPhase(WorkerPhase.WORKER_PHASE_LEAVING).build());
        } catch (StatusRuntimeException error) {
            log("the gateway was not told that this worker leaves: " + error.getStatus().getCode());
        }
    }

    private void register(Map<String, String> problems) throws Exception {
        AdapterInfo info = AdapterInfo.newBuilder().setName(adapter.name()).setVersion(adapter.version()).addProtocolVersions(1)
            .addCapabilities(AdapterCapability.ADAPTER_CAPABILITY_DELIVER).addCapabilities(AdapterCapability.ADAPTER_CAPABILITY_PARTS)
            .setConfigSchema(adapter.schema()).build();
        RegisterRequest.Builder request = RegisterRequest.newBuilder().setQueue(environment("LIENTHONG_QUEUE")).setInfo(info)
            .setInstance("java-" + ProcessHandle.current().pid());
        problems.forEach((key, problem) -> request.addProblems(
            ConfigProblem.newBuilder().setKey(brief(key, 128)).setProblem(brief(problem, 512))));
        for (int attempt = 0; !draining; attempt++) {
            try {
                RegisterResponse answer = stub.withDeadlineAfter(30, TimeUnit.SECONDS).withWaitForReady().register(request.build());
                id = answer.getWorkerId();
                heartbeatMilliseconds =
                    Math.max(100, answer.getHeartbeatEvery().getSeconds() * 1_000 + answer.getHeartbeatEvery().getNanos() / 1_000_000);
                log("registered");
                return;
            } catch (StatusRuntimeException error) {
                log("cannot register: " + error.getStatus().getCode() + ": " + error.getStatus().getDescription());
                pause(attempt);
            }
        }
    }

    private void takeWork() throws Exception {
        int failures = 0;
        while (!draining) {
            room.acquire();
            int free = 1 + room.drainPermits();
            int taken = 0;
            try {
                LeaseRequest.Builder request = LeaseRequest.newBuilder().setWorkerId(id).setDeliveriesMax(free);
                request.getWaitBuilder().setSeconds(WAIT_SECONDS);
                var call = future.withDeadlineAfter(WAIT_SECONDS + 10, TimeUnit.SECONDS).withWaitForReady().lease(request.build());
                waiting = call;
                if (draining) call.cancel(true);
                List<LeasedDelivery> deliveries = new ArrayList<>(call.get().getDeliveriesList());
                failures = 0;
                for (LeasedDelivery leased : deliveries) {
                    Delivery delivery = new Delivery(this, leased);
                    held.put(delivery, true);
                    taken++;
                    pool.execute(() -> work(delivery));
                }
            } catch (java.util.concurrent.ExecutionException error) {
                if (error.getCause() instanceof StatusRuntimeException status && isUnknown(status)) register(Map.of());
                else pause(failures++);
            } catch (java.util.concurrent.CancellationException cancelled) {
                log("draining");
            } finally {
                room.release(free - taken);
            }
        }
    }

    private void work(Delivery delivery) {
        try {
            // Two attempts of one delivery never run at the same time.
            synchronized (turns.computeIfAbsent(delivery.id(), key -> new Object())) {
                settle(delivery);
            }
        } catch (LeaseLost lost) {
            log(delivery.id() + ": the lease is lost; somebody else has it");
        } catch (StatusRuntimeException error) {
            log(delivery.id() + ": not settled: " + error.getStatus().getCode());
        } finally {
            held.remove(delivery);
            if (held.keySet().stream().noneMatch(other -> other.id().equals(delivery.id()))) turns.remove(delivery.id());
            room.release();
        }
    }

    private void settle(Delivery delivery) {
        FailRequest.Builder failed = FailRequest.newBuilder().setWorkerId(id).setLease(delivery.lease()).setRetryable(true);
        try {
            String reference = doOnce(delivery);
            delivery.checkLease();
            complete(delivery, reference);
            return;
        } catch (LeaseLost lost) {
            throw lost;
        } catch (Failed error) {
            failed.setCode(error.code).setDetail(brief(String.valueOf(error.getMessage()), 512)).setRetryable(error.retryable);
        } catch (StatusRuntimeException error) {
            failed.setCode("GATEWAY_CALL").setDetail(error.getStatus().getCode().toString());
        } catch (Exception error) {
            failed.setCode("SYSTEM_ERROR").setDetail(error.getClass().getSimpleName());
        }
        delivery.checkLease();
        log(delivery.id() + ": " + failed.getCode());
        stub.withDeadlineAfter(60, TimeUnit.SECONDS).fail(failed.build());
    }

    /** What cannot be said is no loss: the lease ends, and the delivery comes again under the same id. */
    private void complete(Delivery delivery, String reference) {
        try {
            stub.withDeadlineAfter(60, TimeUnit.SECONDS).complete(
                CompleteRequest.newBuilder().setWorkerId(id).setLease(delivery.lease()).setReference(reference).build());
        } catch (StatusRuntimeException error) {
            log(delivery.id() + ": not settled: " + error.getStatus().getCode());
        }
    }

    private String doOnce(Delivery delivery) throws Exception {
        String reference = journal.get(delivery.id());
        if (reference == null) {
            delivery.checkLease();
            reference = brief(String.valueOf(adapter.deliver(delivery)), 128);
            journal.add(delivery.id(), reference);
        }
        return reference;
    }

    private void keepLeases() {
        while (true) {
            try {
                Thread.sleep(heartbeatMilliseconds);
                List<Delivery> now = held.keySet().stream().filter(delivery -> !delivery.isLost()).toList();
                if (now.isEmpty()) continue;
                HeartbeatRequest.Builder request = HeartbeatRequest.newBuilder().setWorkerId(id);
                now.forEach(delivery -> request.addLeases(delivery.lease()));
                HeartbeatResponse answer =
                    stub.withDeadlineAfter(heartbeatMilliseconds, TimeUnit.MILLISECONDS).heartbeat(request.build());
                for (int index = 0; index < Math.min(now.size(), answer.getLeasesCount()); index++) {
                    if (!answer.getLeases(index).getHeld()) now.get(index).lose();
                }
            } catch (StatusRuntimeException error) {
                log("no heartbeat: " + error.getStatus().getCode());
            } catch (InterruptedException interrupted) {
                return;
            }
        }
    }

    private static boolean isUnknown(StatusRuntimeException error) {
        byte[] details = error.getTrailers() == null ? null : error.getTrailers().get(DETAILS);
        return details != null && new String(details, StandardCharsets.ISO_8859_1).contains("WORKER_UNKNOWN");
    }

    private void pause(int failures) throws InterruptedException {
        asked.await(BACK_OFF_MILLISECONDS[Math.min(failures, BACK_OFF_MILLISECONDS.length - 1)], TimeUnit.MILLISECONDS);
    }

    /** On one line, and at most so many bytes: a gateway refuses more. */
    private static String brief(String text, int most) {
        StringBuilder line = new StringBuilder();
        int bytes = 0;
        for (int letter : text.codePoints().toArray()) {
            int shown = Character.isISOControl(letter) ? ' ' : letter;
            bytes += Character.toString(shown).getBytes(StandardCharsets.UTF_8).length;
            if (bytes > most) break;
            line.appendCodePoint(shown);
        }
        return line.toString();
    }

    private static String environment(String name) {
        String value = System.getenv(name);
        if (value == null || value.isEmpty()) throw new IllegalStateException(name + " is not set");
        return value;
    }

    private static void log(String text) { System.err.println(text); }
}
