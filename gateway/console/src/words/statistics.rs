//! Words of the statistics page.

words! {
    TITLE = "Thống kê giải quyết hồ sơ", "Statistics of files";
    LEAD = "Hồ sơ tiếp nhận trong kỳ: trước hạn, đúng hạn, trễ hạn, đang giải quyết.", "Files received in the period: early, on time, late, in work.";
    CAPTION = "Số hồ sơ tiếp nhận trong kỳ", "Files received in the period";
    BY = "Theo", "By";
    BY_AGENCY = "cơ quan", "agency";
    BY_LEVEL = "cấp", "level";
    BY_PROCEDURE = "thủ tục", "procedure";
    BY_MONTH = "tháng", "month";
    SINCE = "Từ ngày", "From";
    UNTIL = "Đến hết ngày", "To the end of";
    AGENCY = "Cơ quan (và cấp dưới)", "Agency (and those below)";
    APPLY = "Xem", "Show";
    PERIODS = "Kỳ có sẵn", "Ready periods";
    THIS_MONTH = "Tháng này", "This month";
    THIS_QUARTER = "Quý này", "This quarter";
    HALF_YEAR = "6 tháng", "Half-year";
    THIS_YEAR = "Năm nay", "This year";
    LAST_YEAR = "Năm trước", "Last year";
    CSV = "Tải CSV", "Download CSV";
    RECEIVED = "Tiếp nhận", "Received";
    EARLY = "Trước hạn", "Early";
    ON_TIME = "Đúng hạn", "On time";
    LATE = "Trễ hạn", "Late";
    IN_WORK = "Đang giải quyết", "In work";
    IN_WORK_LATE = "Đang giải quyết, trễ hạn", "In work, late";
    ENDED = "Đã trả, không rõ hạn", "Finished, no due time";
    NOBODY_SAID = "không ai ghi", "nobody said";
    ALL_OTHERS = "tất cả còn lại", "all others";
    IN_TIME_SHARE = "Tỷ lệ đúng và trước hạn", "Share in time";
    TOTAL = "Tổng", "Total";
    KEY = "Mã", "Key";
    NAME = "Tên", "Name";
    AS_OF = "Tính đến", "Counted up to";
    CHART = "Biểu đồ", "Chart";
    CHART_CUT = "Biểu đồ vẽ các dòng có nhiều hồ sơ nhất; bảng có đủ.", "The chart shows the rows with the most files; the table has all.";
    NONE = "Không có hồ sơ nào trong kỳ này.", "There are no files in this period.";
}
