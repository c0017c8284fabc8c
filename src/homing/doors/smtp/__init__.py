"""The SMTP doors: strangers' mail servers, and applications that submit by SMTP."""
