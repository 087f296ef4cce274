from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("shop", "0004_alter")]
    operations = [migrations.RemoveField("author", "country")]
