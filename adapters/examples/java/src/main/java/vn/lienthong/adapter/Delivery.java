package vn.lienthong.adapter;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.util.Iterator;
import lienthong.gateway.v1.Adapter.DownloadPartRequest;
import lienthong.gateway.v1.Adapter.DownloadPartResponse;
import lienthong.gateway.v1.Adapter.LeaseReference;
import lienthong.gateway.v1.Adapter.LeasedDelivery;
import lienthong.gateway.v1.EnvelopeOuterClass.Envelope;
import lienthong.gateway.v1.EnvelopeOuterClass.Part;

/** One delivery under a lease. */
public final class Delivery {
    private final Worker worker;
    private final LeasedDelivery leased;
    private final Envelope envelope;
    private volatile boolean lost;

    Delivery(Worker worker, LeasedDelivery leased) throws InvalidProtocolBufferException {
        this.worker = worker;
        this.leased = leased;
        this.envelope = Envelope.parseFrom(leased.getEnvelope().getEnvelope());
    }

    /** The same for all attempts: the key for doing things once. */
    public String id() { return leased.getDeliveryId(); }

    /** The verified envelope. */
    public Envelope envelope() { return envelope; }

    /** Everything that came with it: sender, signers, receipts. */
    public LeasedDelivery leased() { return leased; }

    /** Throws when the lease is known to be gone; call it right before an effect. */
    public void checkLease() {
        if (lost) throw new LeaseLost();
    }

    /** Writes the signed envelope and every part durably into a new folder. */
    public void writeInto(Path folder) throws Exception {
        if (Files.exists(folder)) {
            try (var old = Files.list(folder)) {
                for (Path path : old.toList()) Files.delete(path);
            }
        } else {
            Files.createDirectory(folder);
        }
        try (FileOutputStream file = new FileOutputStream(folder.resolve("envelope.bin").toFile())) {
            leased.getEnvelope().writeTo(file);
            file.getFD().sync();
        }
        int number = 0;
        for (Part part : envelope.getPartsList()) {
            number++;
            try (FileOutputStream file = new FileOutputStream(folder.resolve(String.format("part-%04d", number)).toFile())) {
                copyPart(part, file);
                file.getFD().sync();
            }
        }
        sync(folder);
    }

    /** Makes the names in a folder durable. */
    public static void sync(Path folder) throws IOException {
        try (FileChannel channel = FileChannel.open(folder, StandardOpenOption.READ)) {
            channel.force(true);
        }
    }

    private void copyPart(Part part, FileOutputStream file) throws Exception {
        DownloadPartRequest request =
            DownloadPartRequest.newBuilder().setWorkerId(worker.id()).setLease(lease()).setSha256(part.getSha256()).build();
        MessageDigest digest = MessageDigest.getInstance("SHA-256");
        long size = 0;
        for (Iterator<DownloadPartResponse> pieces = worker.stub().downloadPart(request); pieces.hasNext() && size <= part.getSize();) {
            ByteString chunk = pieces.next().getChunk();
            checkLease();
            size += chunk.size();
            digest.update(chunk.asReadOnlyByteBuffer());
            chunk.writeTo(file);
        }
        if (size != part.getSize() || !part.getSha256().equals(ByteString.copyFrom(digest.digest()))) {
            throw new Failed("PART_DAMAGED", "a part is not what its digest says", true);
        }
    }

    LeaseReference lease() {
        return LeaseReference.newBuilder().setDeliveryId(id()).setLeaseToken(leased.getLeaseToken()).build();
    }

    void lose() { lost = true; }

    boolean isLost() { return lost; }
}
